// Pictures, icons, progress.

const FITS = { aspectFit: 'contain', aspectFill: 'cover', scaleToFill: 'fill', center: 'none' };
const SIGNS = { success: '✓', info: 'i', warn: '!', waiting: '◷', cancel: '✕', download: '↓', search: '⌕', clear: '✕' };

export function addMedia({ define, emit, phone }) {
  define('image', {
    properties: {
      src: String, mode: { type: String, value: 'scaleToFill' }, lazyLoad: Boolean, showMenuByLongpress: Boolean,
      webp: Boolean, fadeIn: Boolean,
    },
    created(element) {
      const picture = document.createElement('img');
      this.control = picture;
      picture.alt = '';
      picture.className = 'wx-picture';
      element.append(picture);
      picture.onload = () => emit(this, 'load', { width: picture.naturalWidth, height: picture.naturalHeight });
      picture.onerror = () => {
        phone.warnings.push(`no picture at ${this.data.src}`);
        emit(this, 'error', { errMsg: `GET ${this.data.src} 404 (Not Found)` });
      };
    },
    observe: {
      src(value) {
        if (value) this.control.src = /^(https?:|data:|blob:)/.test(value) ? value : `files/${value.replace(/^\/+/, '')}`;
      },
      mode(value) {
        this.control.style.objectFit = FITS[value] ?? 'fill';
        this.$$.classList.toggle('wx-width-fix', value === 'widthFix');
        this.$$.classList.toggle('wx-height-fix', value === 'heightFix');
      },
    },
  });

  define('icon', {
    properties: { type: String, size: null, color: String },
    observe: {
      type(value) { this.$$.dataset.sign = SIGNS[value] ?? ''; },
      size(value) { this.$$.style.fontSize = typeof value === 'number' ? `${value}px` : value ?? ''; },
      color(value) { this.$$.style.color = value; },
    },
  });

  define('progress', {
    properties: { percent: Number, showInfo: Boolean, activeColor: String, backgroundColor: String, strokeWidth: null, active: Boolean },
    created(element) {
      this.control = document.createElement('progress');
      this.control.max = 100;
      element.append(this.control);
    },
    observe: {
      percent(value) { this.control.value = value; },
      activeColor(value) { this.control.style.accentColor = value; },
    },
  });
}
