/** Shows the blocks of utils/markdown.js. Whoever owns them patches them in place. */

Component({
  properties: {
    blocks: { type: Array, value: [] },
    /** Still being written: a caret stands at the end. */
    live: { type: Boolean, value: false },
  },

  methods: {
    copyCode(event) {
      const block = this.data.blocks[event.currentTarget.dataset.n];
      wx.setClipboardData({ data: block.lines.join('\n') });
    },

    /** Links cannot be opened from here, so they are offered for the browser. */
    openLink(event) {
      const { href } = event.currentTarget.dataset;
      if (!href) return;
      wx.showModal({
        title: '复制链接',
        content: `小程序里不能直接打开，复制后到浏览器里访问：\n${href.slice(0, 200)}`,
        confirmText: '复制',
        success: ({ confirm }) => confirm && wx.setClipboardData({ data: href }),
      });
    },
  },
});
