// <rich-text>: HTML as text or as nodes, from a list of harmless tags; nothing in it reacts.

const TAGS = new Set((
  'a abbr address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del div dl dt em '
  + 'fieldset font footer h1 h2 h3 h4 h5 h6 header hr i img ins label legend li mark nav ol p pre q rt ruby s section '
  + 'small span strong sub sup table tbody td tfoot th thead tr tt u ul'
).split(' '));
const ATTRIBUTES = new Set(
  'class style src width height alt colspan rowspan start type span dir'.split(' '),
);
const ENTITIES = { '&lt;': '<', '&gt;': '>', '&amp;': '&', '&nbsp;': '\u00a0', '&quot;': '"', '&apos;': '\'' };

export function addRichText({ define }) {
  define('rich-text', {
    properties: { nodes: null, space: String, userSelect: Boolean, mode: String },
    created(element) {
      this.control = document.createElement('div');
      element.append(this.control);
    },
    observe: {
      nodes(value) {
        this.control.replaceChildren(...(typeof value === 'string' ? fromHtml(value) : (value ?? []).map(fromNode)));
      },
      userSelect(value) { this.$$.classList.toggle('wx-selectable', Boolean(value)); },
    },
  });
}

function fromHtml(html) {
  const { body } = new DOMParser().parseFromString(html, 'text/html');
  for (const element of body.querySelectorAll('*')) {
    if (!TAGS.has(element.localName)) element.remove();
    else for (const { name } of [...element.attributes]) if (!ATTRIBUTES.has(name)) element.removeAttribute(name);
  }
  return [...body.childNodes];
}

function fromNode({ type, text, name, attrs = {}, children = [] }) {
  if (type === 'text' || (text !== undefined && !name)) {
    return document.createTextNode(String(text).replace(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity));
  }
  if (!TAGS.has(name)) return document.createTextNode('');
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attrs)) if (ATTRIBUTES.has(key)) element.setAttribute(key, value);
  element.append(...children.map(fromNode));
  return element;
}
