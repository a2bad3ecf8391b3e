'use strict'

const $ = (id) => document.getElementById(id)
const chat = $('chat')
let openid = localStorage.getItem('openid') || newcomer()
let last = 0
let lastTime = 0
let menuShown = ''
let deliveriesShown = ''
let asking = false

function newcomer() {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
  const random = crypto.getRandomValues(new Uint8Array(24))
  const made = 'oDesk' + Array.from(random, (n) => letters[n % letters.length]).join('').slice(0, 23)
  localStorage.setItem('openid', made)
  return made
}

async function post(path, body) {
  const options = body instanceof Blob
    ? { method: 'POST', body, headers: { 'Content-Type': body.type || 'audio/amr' } }
    : { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }
  const answer = await fetch(path, options)
  if (!answer.ok) throw new Error((await answer.json()).error || answer.statusText)
}

const say = (text) => post('desk/say', { openid, text }).then(look)
const happens = (event, key = '') => post('desk/event', { openid, event, key }).then(look)

function element(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

/* WeChat makes links of <a>, and weixin://bizmsgmenu sends what it says. Nothing else in a text is markup. */
function fill(bubble, text) {
  const link = /<a href="([^"]*)">([^<]*)<\/a>/g
  let at = 0
  for (const match of text.matchAll(link)) {
    bubble.append(text.slice(at, match.index))
    const made = element('a', '', match[2])
    made.tabIndex = 0
    const menu = /^weixin:\/\/bizmsgmenu\?msgmenucontent=([^&]*)/.exec(match[1])
    if (menu) made.addEventListener('click', () => say(menu[1]))
    bubble.append(made)
    at = match.index + match[0].length
  }
  bubble.append(text.slice(at))
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString('zh-CN', { hour: '2-digit', minute: '2-digit' })
}

function show(line) {
  if (line.at - lastTime > 180) chat.append(element('p', 'time', clock(line.at)))
  lastTime = line.at
  if (line.who === 'notice') {
    chat.append(element('p', line.text.includes('故障') ? 'notice broken' : 'notice', line.text))
    return
  }
  const mine = line.who === 'me'
  const row = element('div', mine ? 'row mine' : 'row them')
  const bubble = element('div', mine ? 'bubble mine' : 'bubble')
  fill(bubble, line.text)
  const body = element('div', 'body')
  body.append(bubble)
  if (line.ai) body.append(element('p', 'way', '内容由第三方AI生成'))
  row.append(element('div', 'face', mine ? '我' : 'AI'), body)
  chat.append(row)
}

function closeMenus(besides) {
  for (const box of $('menu').querySelectorAll('details[open]')) if (box !== besides) box.open = false
}

function showMenu(buttons) {
  const written = JSON.stringify(buttons)
  if (written === menuShown) return
  menuShown = written
  const menu = $('menu')
  menu.replaceChildren()
  menu.hidden = !buttons.length
  const tap = (button) => {
    const made = element('button', '', button.name)
    made.type = 'button'
    made.addEventListener('click', () => {
      closeMenus()
      if (button.type === 'view') happens('VIEW', button.url)
      else if (button.key) happens('CLICK', button.key)
    })
    return made
  }
  for (const button of buttons) {
    const inner = button.sub_button?.list || button.sub_button || []
    if (!inner.length) { menu.append(tap(button)); continue }
    const box = element('details')
    const list = element('div')
    list.append(...inner.map(tap))
    box.append(element('summary', '', '☰ ' + button.name), list)
    menu.append(box)
  }
}

const outcomes = { answered: '已回复', timeout: '没有回复', closed: '连接被断开', refused: '连不上', lost: '回复丢失' }

function showDeliveries(messages) {
  const written = JSON.stringify(messages)
  if (written === deliveriesShown || !messages.length) return
  deliveriesShown = written
  const box = $('deliveries')
  const open = new Set([...box.querySelectorAll('details[open]')].map((one) => one.dataset.key))
  box.replaceChildren(...messages.map((message) => {
    const made = element('article', 'message')
    made.append(element('p', '', `${clock(message.at)}　${message.what}`))
    for (const attempt of message.attempts) {
      const kind = attempt.took === null ? '' : attempt.outcome in outcomes ? attempt.outcome : 'failed'
      const details = element('details', `attempt ${kind}`)
      details.dataset.key = `${message.id}.${attempt.number}`
      details.open = open.has(details.dataset.key)
      const track = element('span', 'track')
      const bar = element('i')
      bar.style.width = `${Math.min(100, (attempt.took ?? 5) * 20)}%`
      track.append(bar)
      const took = attempt.took === null ? '等待中…' : `${attempt.took.toFixed(2)} 秒　${outcomes[attempt.outcome] || attempt.outcome}`
      const summary = element('summary')
      summary.append(element('span', '', `第 ${attempt.number} 次`), track, element('span', 'result', took))
      details.append(summary)
      const parts = attempt.sent || attempt.opened
        ? [['推送，解密后', attempt.request], ['推送原文', attempt.sent], ['回复，解密后', attempt.opened], ['回复原文', attempt.reply]]
        : [['推送', attempt.request], ['回复', attempt.reply]]
      for (const [title, text] of parts) {
        if (text) details.append(element('p', 'quiet', title), element('pre', '', text))
      }
      made.append(details)
    }
    if (message.verdict?.kind === 'failure') {
      made.append(element('p', 'quiet broken', `用户看到：服务出现故障（${message.verdict.why}）`))
    }
    return made
  }))
}

function showSwitches(values) {
  for (const input of $('switches').querySelectorAll('[name]')) {
    if (document.activeElement === input) continue
    if (input.type === 'checkbox') input.checked = values[input.name]
    else input.value = String(values[input.name])
  }
}

async function look() {
  if (asking) return
  asking = true
  try {
    const answer = await fetch(`desk/chat?openid=${encodeURIComponent(openid)}&after=${last}`)
    if (!answer.ok) return
    const news = await answer.json()
    const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 80
    news.lines.forEach(show)
    if (news.lines.length) {
      last = news.lines.at(-1).number
      if (atEnd || news.lines.at(-1).who === 'me') chat.scrollTop = chat.scrollHeight
    }
    $('typing').hidden = !news.typing
    $('dock').hidden = !news.follows
    $('unfollow').hidden = !news.follows
    $('follow').hidden = news.follows
    $('failures').textContent = news.failures ? `5 分钟内 ${news.failures} 次没有回复` : ''
    showMenu(news.menu)
    showDeliveries(news.deliveries)
    showSwitches(news.switches)
  } catch {
    /* the simulator is restarting */
  } finally {
    asking = false
  }
}

function fit() {
  const box = $('text')
  box.style.height = 'auto'
  box.style.height = `${Math.min(box.scrollHeight, 120)}px`
  $('send').disabled = !box.value.trim()
}

$('form').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = $('text').value.trim()
  if (!text) return
  $('text').value = ''
  fit()
  say(text)
})
$('text').addEventListener('input', fit)
$('text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault()
    $('form').requestSubmit()
  }
})
$('voice').addEventListener('change', async () => {
  const [file] = $('voice').files
  if (file) await post(`desk/voice?openid=${encodeURIComponent(openid)}`, file).catch((error) => alert(error.message))
  $('voice').value = ''
  look()
})
$('follow').addEventListener('click', () => happens('subscribe'))
$('unfollow').addEventListener('click', () => $('leaving').showModal())
$('leaving').addEventListener('close', () => {
  if ($('leaving').returnValue === 'leave') happens('unsubscribe')
  $('leaving').returnValue = ''
})
document.addEventListener('click', (event) => closeMenus(event.target.closest('#menu details')))
$('back').addEventListener('click', () => {
  openid = newcomer()
  last = lastTime = 0
  chat.replaceChildren()
  happens('subscribe')
})
$('switches').addEventListener('change', async (event) => {
  const input = event.target
  if (!input.name) return
  const value = input.type === 'checkbox' ? input.checked : /^[0-9]/.test(input.value) ? Number(input.value) : input.value
  const said = $('switched')
  try {
    await post('desk/switches', { [input.name]: value })
    said.textContent = input.name === 'may_push' ? '服务端另由 WECHAT_CUSTOMER_SERVICE 决定要不要推送。' : ''
  } catch (error) {
    said.textContent = error.message
  }
  input.blur()
})
$('lose').addEventListener('click', () => post('desk/switches', { lose_replies: 1 }))

fetch('miniprogram/', { method: 'HEAD' }).then((answer) => {
  if (!answer.ok) return
  const link = element('a', '', '小程序预览')
  link.href = 'miniprogram/'
  $('pages').append(link)
}).catch(() => {})

fit()
look().then(() => { if (!last) happens('subscribe') })
setInterval(look, 600)
