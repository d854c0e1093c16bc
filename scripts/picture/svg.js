const cell = { width: 8.4, height: 19 };
const margin = 16;
const bar = 34;
const widest = 120;
const colors = { 31: '#f7768e', 32: '#9ece6a', 33: '#e0af68', 34: '#7aa2f7', 35: '#bb9af7', 36: '#7dcfff' };

/**
 * Converts text with SGR codes (bold, dim, six colors) to a terminal window as SVG, one <text> per line.
 * @param {string} title
 * @param {string[]} lines
 */
export function terminalSvg(title, lines) {
  const rows = lines.flatMap((line) => wrap(spans(line)));
  const columns = Math.max(60, ...rows.map((row) => row.reduce((sum, { text }) => sum + text.length, 0)));
  const width = Math.ceil(columns * cell.width + 2 * margin);
  const height = Math.ceil(rows.length * cell.height + 2 * margin + bar);
  const texts = rows.map((row, i) => {
    const y = bar + margin + (i + 0.75) * cell.height;
    return `<text x="${margin}" y="${y.toFixed(1)}" xml:space="preserve">${row.map(tspan).join('')}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Output of ${escapeXml(title)}">
<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#c0caf5;white-space:pre}.b{font-weight:700}.d{fill:#828bb8}</style>
<rect width="${width}" height="${height}" rx="8" fill="#1a1b26"/>
<circle cx="20" cy="18" r="6" fill="#f7768e"/><circle cx="40" cy="18" r="6" fill="#e0af68"/><circle cx="60" cy="18" r="6" fill="#9ece6a"/>
<text x="${width / 2}" y="23" text-anchor="middle" class="d">${escapeXml(title)}</text>
${texts.join('\n')}
</svg>
`;
}

/** Splits a line into pieces of one style. After an escape, the text begins with the style's codes and an `m`. */
function spans(line) {
  let style = { bold: false, dim: false, color: '' };
  const [first = '', ...rest] = line.split('\u001b[');
  const found = [{ text: first, ...style }];
  for (const part of rest) {
    const end = part.indexOf('m');
    for (const code of part.slice(0, end).split(';')) style = apply(style, Number(code));
    found.push({ text: part.slice(end + 1), ...style });
  }
  return found.filter(({ text }) => text !== '');
}

function apply(style, code) {
  if (code === 0) return { bold: false, dim: false, color: '' };
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if (code === 22) return { ...style, bold: false, dim: false };
  if (code === 39) return { ...style, color: '' };
  return { ...style, color: colors[code] ?? style.color };
}

/** Wraps a long line like a terminal. */
function wrap(row) {
  const rows = [[]];
  let used = 0;
  for (const span of row) {
    let rest = span.text;
    while (used + rest.length > widest) {
      // Breaks between two words if possible.
      const space = rest.lastIndexOf(' ', widest - used);
      const end = space > 0 || used > 0 ? Math.max(0, space) : widest;
      rows.at(-1)?.push({ ...span, text: rest.slice(0, end) });
      rest = rest.slice(end).trimStart();
      rows.push([]);
      used = 0;
    }
    rows.at(-1)?.push({ ...span, text: rest });
    used += rest.length;
  }
  return rows;
}

function tspan({ text, bold, dim, color }) {
  const classes = [bold && 'b', dim && 'd'].filter(Boolean).join(' ');
  const attributes = `${classes ? ` class="${classes}"` : ''}${color ? ` style="fill:${color}"` : ''}`;
  return attributes ? `<tspan${attributes}>${escapeXml(text)}</tspan>` : escapeXml(text);
}

function escapeXml(text) {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
