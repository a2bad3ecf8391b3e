// What a careful eye would find on a screen: pale text, small targets, things cut off.

const CONTRAST = 4.5;
const LARGE_CONTRAST = 3; // for text from 24 px, or bold from 18.66 px (WCAG 1.4.3)
const TARGET = 44;

export function audit() {
  const page = [...document.querySelectorAll('body > *')].filter(visible);
  const found = new Set();
  for (const root of page) {
    for (const element of [root, ...root.querySelectorAll('*')]) {
      if (!visible(element)) continue;
      for (const complaint of [pale(element), small(element), cut(element)]) if (complaint) found.add(complaint);
    }
  }
  return [...found];
}

function visible(element) {
  return element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getClientRects().length > 0;
}

const name = (element) => {
  const text = (element.getAttribute('aria-label') ?? element.textContent ?? '').trim().replace(/\s+/g, ' ');
  const classes = String(element.className ?? '').replace(/\bc\d+--/g, '');
  return `${element.localName}${classes ? `.${classes.split(' ').filter(Boolean).join('.')}` : ''} “${text.slice(0, 24)}”`;
};

// Contrast

function pale(element) {
  const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!own || element.closest('[disabled], [aria-disabled=true], [aria-hidden=true]')) return null;
  const style = getComputedStyle(element);
  const background = behind(element);
  if (!background) return null; // a picture or a gradient: for the eye
  const ratio = contrast(over(rgba(style.color), background), background);
  const size = parseFloat(style.fontSize);
  const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? LARGE_CONTRAST : CONTRAST;
  return ratio < needed ? `contrast ${ratio.toFixed(2)} < ${needed}: ${name(element)}` : null;
}

function behind(element) {
  const layers = [];
  for (let each = element; each; each = each.parentElement) {
    const style = getComputedStyle(each);
    if (style.backgroundImage !== 'none') return null;
    const colour = rgba(style.backgroundColor);
    if (colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
}

const rgba = (css) => {
  const [red, green, blue, alpha = 1] = css.match(/[\d.]+/g).map(Number);
  return [red, green, blue, alpha];
};
const over = ([r, g, b, a], under) => [...[r, g, b].map((value, at) => value * a + under[at] * (1 - a)), 1];
const luminance = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};

// Targets

function small(element) {
  const tappable = element.matches('wx-button, wx-switch, wx-navigator, [role=button], [role=switch], .wx-control');
  if (!tappable || element.closest('.wx-mask, .wx-toast')) return null;
  const { width, height } = element.getBoundingClientRect();
  // A field's own box may be smaller than the one people tap.
  if (element.matches('.wx-control')) return null;
  return width < TARGET - 0.5 || height < TARGET - 0.5
    ? `target ${Math.round(width)}×${Math.round(height)} < ${TARGET}: ${name(element)}`
    : null;
}

// Edges

function cut(element) {
  const { left, right, width } = element.getBoundingClientRect();
  if (!width || scrolledSideways(element)) return null;
  if (left < -1 || right > innerWidth + 1) return `beyond the edge (${Math.round(left)}…${Math.round(right)}): ${name(element)}`;
  const style = getComputedStyle(element);
  const clipped = style.overflowX !== 'visible' && element.scrollWidth > element.clientWidth + 1;
  const scrolls = /auto|scroll/.test(style.overflowX) || style.textOverflow === 'ellipsis' || style.webkitLineClamp !== 'none';
  return clipped && !scrolls && element.clientWidth ? `cut off: ${name(element)}` : null;
}

function scrolledSideways(element) {
  for (let each = element.parentElement; each; each = each.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth) return true;
  }
  return false;
}
