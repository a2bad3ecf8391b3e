// What is wrong with a page's looks: pale text, targets too small for a finger, things that stick out sideways.
(finger) => {
  const numbers = (colour) => {
    const found = colour.match(/[\d.]+/g).map(Number)
    if (colour.startsWith('color(')) return [found[0] * 255, found[1] * 255, found[2] * 255, found[3] ?? 1]
    return [found[0], found[1], found[2], found[3] ?? 1]
  }
  const over = (top, below) => top.slice(0, 3).map((part, at) => part * top[3] + below[at] * (1 - top[3]))
  const background = (element) => {
    const layers = []
    for (let one = element; one; one = one.parentElement) {
      const layer = numbers(getComputedStyle(one).backgroundColor)
      if (layer[3]) layers.unshift(layer)
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255])
  }
  const luminance = (colour) => {
    const [red, green, blue] = colour.map((part) => {
      part /= 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a)
    return (light + 0.05) / (dark + 0.05)
  }
  const visible = (element) => {
    const box = element.getBoundingClientRect()
    return box.width > 1 && box.height > 1 && element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
  }
  const name = (element, text) => `${element.tagName.toLowerCase()}.${element.className} “${text.trim().slice(0, 20)}”`
  const wrong = new Set()
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent
    const element = texts.currentNode.parentElement
    if (!text.trim() || !element || /^(SCRIPT|STYLE|NOSCRIPT)$/.test(element.tagName) || !visible(element)) continue
    if (element.closest('[disabled], .sr-only, svg')) continue
    const below = background(element)
    const ratio = contrast(over(numbers(getComputedStyle(element).color), below), below)
    if (ratio < 4.45) wrong.add(`contrast ${ratio.toFixed(2)}: ${name(element, text)}`)
  }
  if (finger) {
    for (const element of document.querySelectorAll('button, a, [role=button], input, textarea, select')) {
      if (!visible(element) || element.closest('.toast-wrap, p, label')) continue
      // A dropdown's field stands in a box that is tapped instead.
      const box = (element.matches('.border-none') && element.closest('.wrap') || element).getBoundingClientRect()
      if (box.height < 43 && element.type !== 'checkbox' && element.type !== 'radio') {
        wrong.add(`${Math.round(box.height)} px high: ${name(element, element.textContent || element.placeholder || '')}`)
      }
    }
  }
  for (const one of document.querySelectorAll('input[role=listbox]')) {
    const cut = one.value && one.value.length < 5 && visible(one) && one.scrollWidth > one.clientWidth + 1
    if (cut) wrong.add(`cut off: “${one.value}”`)
  }
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth > width) {
    const wide = [...document.body.querySelectorAll('*')].find((one) => one.getBoundingClientRect().right > width + 1)
    wrong.add(`sticks out sideways: ${wide ? name(wide, wide.textContent) : '?'}`)
  }
  return [...wrong]
}
