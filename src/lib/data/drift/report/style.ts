/** What the report of a comparison draws beside what every report has. */
export const driftStyle = `
.area.series-1{fill:var(--blue);fill-opacity:.28;stroke:none}.line.series-2{stroke-width:2.2}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:26px 28px}
.axis{stroke:var(--soft);stroke-width:1}
.bar.base{fill:var(--blue);fill-opacity:.45}.bar.now{fill:var(--orange)}
.why{margin:8px 0 0;font-size:14px}
details{margin-top:8px;font-size:13px}summary{cursor:pointer;color:var(--soft)}
.strip td,.strip th{text-align:center;padding:5px 8px;white-space:nowrap}
.strip th[scope=row]{text-align:left;padding-left:0}
.strip td.cell{background:color-mix(in srgb,var(--orange) var(--share),var(--card));border-radius:4px}
.strip table{border-collapse:separate;border-spacing:2px;width:auto}
.strip td,.strip th{border:0}.strip td.over{font-weight:650;outline:1.5px solid var(--bad);outline-offset:-1.5px}
.strip td.strong{color:var(--strong)}
@media print{.strip td.cell{print-color-adjust:exact}}
`;
