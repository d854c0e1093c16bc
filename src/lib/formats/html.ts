const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Markup that is already escaped. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | readonly (string | Html)[] | null | undefined;

/** Template tag that escapes all values except markup created by this tag. Null and undefined become empty strings. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(strings.reduce((text, piece, i) => text + shown(parts[i - 1]) + piece));
}

function shown(part: Part): string {
  if (part === null || part === undefined) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(shown).join('');
  return String(part).replace(/[&<>"']/g, (char) => entities[char] ?? char);
}

/** Maximum length of cells that stay on one line, in characters. A wide table scrolls horizontally. */
const shortest = 24;

/** A table with a header. Columns that contain only numbers, with or without a unit, are right-aligned. */
export function htmlTable(head: string[], rows: (string | Html)[][]): Html {
  const right = head.map((_, i) => rows.every((row) => /^-?[\d.,–]+( (%|m?s|dB))?$/.test(textOf(row[i]))));
  const cell = (content: string | Html, i: number, name: 'th' | 'td') => {
    const kinds = [right[i] ? 'number' : '', isShort(content) ? 'short' : ''].filter(Boolean);
    const open = new Html(`<${name}${kinds.length > 0 ? ` class="${kinds.join(' ')}"` : ''}>`);
    return html`${open}${content}${new Html(`</${name}>`)}`;
  };
  const line = (row: (string | Html)[], name: 'th' | 'td') =>
    html`<tr>${row.map((content, i) => cell(content, i, name))}</tr>`;
  return html`<div class="scroll"><table><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td'))}</tbody></table></div>`;
}

/** Whether a cell, without its tags, is short enough for one line. */
function isShort(cell: string | Html): boolean {
  const text = cell instanceof Html ? cell.text.replaceAll(/<[^>]*>/g, '') : cell;
  return text.length <= shortest;
}

function textOf(cell: string | Html | undefined): string {
  return cell instanceof Html ? cell.text : (cell ?? '');
}

export interface ReportPage {
  /** Title of the window, and of the page if it has no heading. */
  title: string;
  heading?: string;
  /** Summary of the page in one or two sentences. */
  lead: string;
  /** Sentences shown above the heading. */
  first?: readonly Html[];
  sections: readonly (Html | null)[];
  /** Version of aiot. */
  aiot: string;
}

/** A report must not load or run anything. Browsers enforce this policy even if a value injects markup. */
const policy = "default-src 'none'; style-src 'unsafe-inline'";

/** The frame of every report: a single file with one style sheet, no script, and no external resources. */
export function reportPage({ title, heading, lead, first, sections, aiot }: ReportPage): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${new Html(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${new Html(reportStyle)}</style></head><body><main>
${first}<h1>${heading ?? title}</h1>
<p class="lead">${lead}</p>
${sections.flatMap((section) => (section === null ? [] : [section, '\n']))}<footer>Made by aiot ${aiot}.</footer>
</main></body></html>
`.text;
}

/** The style sheet for reports: light or dark according to the user's setting, and also suitable for paper and phones. */
export const reportStyle = `
:root{color-scheme:light dark;--ground:#fbfaf8;--card:#fff;--ink:#1c1e21;--soft:#666a70;--rule:#e3e1dc;--blue:#2b6cb0;
--orange:#c2601c;--good:#2f7d4f;--bad:#b3372f;--warn:#9a6b00;--strong:#fff}
@media(prefers-color-scheme:dark){:root{--ground:#15171a;--card:#1c1f23;--ink:#e6e4df;--soft:#9a9da3;--rule:#30343a;
--blue:#7db2ea;--orange:#e89a5e;--good:#79c797;--bad:#ef8b82;--warn:#e0b454;--strong:#0f1113}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:980px;margin:0 auto;padding:44px 24px 64px}
h1{font-size:28px;line-height:1.2;letter-spacing:-.01em;margin:0 0 6px;font-weight:650}
h2{font-size:13px;text-transform:uppercase;letter-spacing:.08em;color:var(--soft);font-weight:600;margin:44px 0 14px;
padding-top:18px;border-top:1px solid var(--rule)}
p{margin:0 0 10px;max-width:68ch}.lead{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));gap:12px;margin-top:26px}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:13px 14px}
.tile b{display:block;font-size:22px;line-height:1.25;font-weight:600;letter-spacing:-.01em}
.tile span{display:block;color:var(--soft);font-size:13px}
.pair{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:18px 28px}
figure{margin:0;min-width:0}
figcaption{font-weight:600;margin-bottom:8px;display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline}
.note,.keys{font-weight:400;color:var(--soft);font-size:13px}.keys{display:flex;flex-wrap:wrap;gap:2px 14px}
.key::before{content:"";display:inline-block;width:14px;height:0;border-top:2.5px solid;vertical-align:middle;margin-right:6px}
.key.series-1::before{border-color:var(--blue)}.key.series-2::before{border-color:var(--orange)}
.key.mark::before{border-color:var(--soft);border-top-style:dashed;border-top-width:1.5px}
svg{display:block;width:100%;height:auto;overflow:visible}
.grid{stroke:var(--rule);stroke-width:1}.tick{fill:var(--soft);font-size:12px}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.line.series-1{stroke:var(--blue)}.line.series-2{stroke:var(--orange)}
line.mark{stroke:var(--soft);stroke-dasharray:3 4}.line.faint{stroke-opacity:.45;stroke-width:1.5}
.halo{paint-order:stroke;stroke:var(--ground);stroke-width:3px}
.line.series-3{stroke:var(--good)}.line.series-4{stroke:var(--bad)}.line.series-5{stroke:var(--warn)}.line.series-6{stroke:var(--soft)}
.key.series-3::before{border-color:var(--good)}.key.series-4::before{border-color:var(--bad)}
.key.series-5::before{border-color:var(--warn)}.key.series-6::before{border-color:var(--soft)}
.line.good{stroke:var(--good)}.line.bad{stroke:var(--bad)}.line.warn{stroke:var(--warn)}.line.soft{stroke:var(--soft)}
.key.good::before{border-color:var(--good)}.key.bad::before{border-color:var(--bad)}
.key.warn::before{border-color:var(--warn)}.key.soft::before{border-color:var(--soft)}.keys .key{color:var(--soft)}
.area.series-1{fill:var(--blue);fill-opacity:.28;stroke:none}.axis{stroke:var(--soft);stroke-width:1}
.bar{fill:var(--blue)}.bar.negative{fill:var(--orange)}.bar.base{fill:var(--blue);fill-opacity:.45}.bar.now{fill:var(--orange)}
.name{fill:var(--ink);font-size:12px}.heat{fill:var(--blue)}
.bars th,.bars td{border:0;padding:4px 10px 4px 0;vertical-align:middle}
.bars th{color:var(--ink);font-weight:400;overflow-wrap:anywhere;max-width:190px}
figure+.scroll,.scroll+dl{margin-top:18px}.pair>.scroll{margin-top:0}
.bars .number{width:1%;white-space:nowrap;padding-right:0;color:var(--soft);font-size:13px}
.track{width:55%}.fill{display:block;height:12px;width:var(--share);min-width:1px;border-radius:2px;background:var(--blue)}
.stack .fill{display:inline-block;vertical-align:middle;border-radius:0}.stack{white-space:nowrap;font-size:0}
.fill.series-2{background:var(--orange)}.fill.good{background:var(--good)}.fill.bad{background:var(--bad)}
.fill.warn{background:var(--warn)}.fill.soft{background:var(--rule)}
.fill.series-3{background:var(--good)}.fill.series-4{background:var(--bad)}.fill.series-5{background:var(--warn)}.fill.series-6{background:var(--soft)}
.room{display:block;position:relative}
.whisker{position:absolute;top:5px;border-top:1.5px solid var(--ink);left:var(--from);width:calc(var(--to) - var(--from))}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:26px 28px}
.why{margin:8px 0 0;font-size:14px}
details{margin-top:8px;font-size:13px}summary{cursor:pointer;color:var(--soft)}
.strip td,.strip th{text-align:center;padding:5px 8px;white-space:nowrap}
.strip th[scope=row]{text-align:left;padding-left:0}
.strip td.cell{background:color-mix(in srgb,var(--orange) var(--share),var(--card));border-radius:4px}
.strip table{border-collapse:separate;border-spacing:2px;width:auto}
.strip td,.strip th{border:0}.strip td.over{font-weight:650;outline:1.5px solid var(--bad);outline-offset:-1.5px}
.strip td.strong{color:var(--strong)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:600;text-align:left;color:var(--soft);font-size:13px}
th,td{padding:7px 12px 7px 0;border-bottom:1px solid var(--rule);vertical-align:top}
.number{text-align:right}.number+:not(.number){padding-left:14px}.pair .number+:not(.number){padding-left:0}.short{white-space:nowrap}
.confusion table{width:auto;border-spacing:3px;border-collapse:separate;margin-left:-3px}
.confusion th,.confusion td{border:0;padding:6px 10px;text-align:center;vertical-align:middle}
.confusion th[scope=row]{text-align:left;padding-left:0}
.confusion td.corner{color:var(--soft);font-size:12px;text-align:left;padding-left:0;white-space:nowrap}
.confusion small{display:block;font-size:11px;opacity:.75}
td.hit,td.miss{min-width:68px;border-radius:5px}
td.hit{background:color-mix(in srgb,var(--blue) var(--share),var(--card))}
td.miss{background:color-mix(in srgb,var(--bad) var(--share),var(--card))}td.strong{color:var(--strong)}
ul.plain{list-style:none;margin:0;padding:0}
ul.plain li{padding:8px 0;border-bottom:1px solid var(--rule);display:flex;gap:12px;align-items:baseline}
.badge{flex:none;min-width:58px;font-size:12px;font-weight:600}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.soft{color:var(--soft)}
.advice{display:block;color:var(--soft);font-size:14px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 22px;margin:0}
dt{color:var(--soft)}dd{margin:0;min-width:0;overflow-wrap:anywhere}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{margin-top:48px;color:var(--soft);font-size:13px}
@media(max-width:520px){main{padding:28px 16px 48px}h1{font-size:23px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:10px}
td.hit,td.miss{min-width:52px}.confusion th,.confusion td{padding:6px}}
@media print{:root{--ground:#fff}main{max-width:none;padding:0}body{font-size:12px}h2{break-after:avoid}
figure,.tile,tr{break-inside:avoid}td.hit,td.miss,.fill,.strip td.cell{print-color-adjust:exact}}
`;
