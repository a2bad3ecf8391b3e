/** LaTeX made readable as plain text: `\frac{a}{b}` → a/b, `x^2` → x². Formulas are kept, not typeset. */

/** @type {Record<string, string>} */
const SIGNS = {
  alpha: 'α', beta: 'β', gamma: 'γ', delta: 'δ', epsilon: 'ε', varepsilon: 'ε', zeta: 'ζ', eta: 'η', theta: 'θ',
  lambda: 'λ', mu: 'μ', nu: 'ν', xi: 'ξ', pi: 'π', rho: 'ρ', sigma: 'σ', tau: 'τ', phi: 'φ', varphi: 'φ', chi: 'χ',
  psi: 'ψ', omega: 'ω', Gamma: 'Γ', Delta: 'Δ', Theta: 'Θ', Lambda: 'Λ', Sigma: 'Σ', Phi: 'Φ', Psi: 'Ψ', Omega: 'Ω',
  times: '×', cdot: '·', div: '÷', pm: '±', mp: '∓', leq: '≤', le: '≤', geq: '≥', ge: '≥', neq: '≠', ne: '≠',
  approx: '≈', equiv: '≡', sim: '∼', propto: '∝', infty: '∞', partial: '∂', nabla: '∇', sum: '∑', prod: '∏',
  int: '∫', in: '∈', notin: '∉', subset: '⊂', subseteq: '⊆', cup: '∪', cap: '∩', emptyset: '∅', forall: '∀',
  exists: '∃', to: '→', rightarrow: '→', Rightarrow: '⇒', leftarrow: '←', leftrightarrow: '↔', implies: '⇒',
  iff: '⇔', therefore: '∴', because: '∵', angle: '∠', degree: '°', circ: '°', triangle: '△', perp: '⊥',
  parallel: '∥', ldots: '…', cdots: '⋯', dots: '…', quad: '  ', qquad: '    ', prime: '′', ast: '*',
  Pi: 'Π', land: '∧', lor: '∨', neg: '¬', mid: '|', ll: '≪', gg: '≫',
};
const UP = { from: '0123456789+-=()ni', to: '⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ' };
const DOWN = { from: '0123456789+-=()', to: '₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎' };
const GROUP = '\\{((?:[^{}]|\\{[^{}]*\\})*)\\}';

/**
 * @param {string} source without its dollar signs
 * @returns {string}
 */
function readable(source) {
  let text = source.trim();
  for (let depth = 0; depth < 4; depth += 1) {
    text = text
      .replace(new RegExp(`\\\\[dt]?frac\\s*${GROUP}\\s*${GROUP}`, 'g'), (_, over, under) => `${group(over)}/${group(under)}`)
      .replace(new RegExp(`\\\\sqrt\\s*\\[([^\\]]*)\\]\\s*${GROUP}`, 'g'), (_, root, of) => `${script(root, UP) || root}√${group(of)}`)
      .replace(new RegExp(`\\\\sqrt\\s*${GROUP}`, 'g'), (_, of) => `√${group(of)}`)
      .replace(new RegExp(`\\\\(?:text|mathrm|mathbf|mathit|mathbb|mathcal|operatorname|boxed|vec|hat|bar|overline|underline)\\s*${GROUP}`, 'g'), '$1');
  }
  return text
    .replace(/\\begin\{[^}]*\}(\{[^}]*\})?|\\end\{[^}]*\}/g, '')
    .replace(/\\(?:left|right|displaystyle|limits|big|Big|bigg|Bigg|!|,|;|:)(?![a-zA-Z])/g, '')
    .replace(/\\\\/g, '\n')
    .replace(/\\([a-zA-Z]+)/g, (_, name) => (name in SIGNS ? SIGNS[name] : name))
    .replace(/\\([{}%$#&_|])/g, '$1')
    .replace(/\^(\{[^{}]*\}|[^\s{}])/g, (whole, power) => script(bare(power), UP) || `^${wrapped(power)}`)
    .replace(/_(\{[^{}]*\}|[^\s{}])/g, (whole, index) => script(bare(index), DOWN) || `_${wrapped(index)}`)
    .replace(/[{}]/g, '')
    .replace(/ *& */g, ' ')
    .replace(/[ \t]{2,}/g, ' ')
    .split('\n').map((line) => line.trim()).filter(Boolean).join('\n');
}

const bare = (part) => part.replace(/^\{|\}$/g, '').trim();
const wrapped = (part) => (bare(part).length > 1 ? `(${bare(part)})` : bare(part));
const group = (part) => (/^(?:\d+(?:\.\d+)?|[a-zA-Z]|\\[a-zA-Z]+|\(.*\))$/.test(part.trim()) ? part.trim() : `(${part.trim()})`);

/** Small raised or lowered signs; '' if one of them does not exist. */
function script(text, signs) {
  const found = text.split('').map((one) => signs.to[signs.from.indexOf(one)]);
  return text && found.every(Boolean) ? found.join('') : '';
}

module.exports = { readable };
