// The preview's frame: the navigation bar that WeChat would draw around the page.

const frame = document.querySelector('iframe');
const bar = document.querySelector('.bar');
const title = bar.querySelector('h1');
const back = bar.querySelector('button.back');
const side = bar.querySelector('.side');

function dress({ title: text, background, text: colour, custom, depth }) {
  title.textContent = text;
  bar.hidden = custom;
  bar.style.display = custom ? 'none' : '';
  bar.style.background = background;
  bar.style.color = colour === 'white' ? '#fff' : '#000';
  back.hidden = depth < 2;
  side.hidden = depth >= 2;
}

/** The page's script may not have run yet. */
function follow() {
  const { phone } = frame.contentWindow;
  if (!phone?.ready) {
    setTimeout(follow, 30);
    return;
  }
  phone.on('bar', dress);
  dress({ ...phone.bar, depth: phone.stack.length });
  back.onclick = () => phone.back();
}

frame.addEventListener('load', follow);
if (frame.contentDocument?.readyState === 'complete') follow();
