/** rpx → px as the framework does it: whole pixels, rounded down, but what is not nothing stays visible. */
export function rpx(css) {
  return css.replace(/(^|[^\w#.-])(-?\d*\.?\d+)rpx\b/g, (_, before, written) => {
    const number = Number(written);
    if (number === 0) return `${before}0`;
    const sign = Math.sign(number);
    const pixels = Math.floor((Math.abs(number) / 750) * window.innerWidth + 1e-4);
    const hairline = window.devicePixelRatio === 1 ? 1 : 0.5;
    return `${before}${sign * (pixels || hairline)}px`;
  });
}
