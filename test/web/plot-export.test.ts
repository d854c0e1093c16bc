import { expect, it } from 'vitest';
import { csvText, fileName } from '../../web/app/csv.js';
import { plotCsv } from '../../web/parts/plot-csv.js';
import { legendHeight, legendPlaces } from '../../web/parts/plot-legend.js';
import { plotSvg, type SvgPlot } from '../../web/parts/plot-svg.js';

const start = Date.UTC(2026, 10, 30) / 1000;
const series = [{ label: 'temperature, °C' }, { label: 'current' }];

it('a plot is saved with times in ISO 8601 and empty fields for gaps', () => {
  const data = [
    [start, start + 0.5, start + 1],
    [20.5, null, -3],
    [null, null, 1e-7],
  ];
  expect(plotCsv({ data, series, clock: true })).toBe(
    [
      'time,"temperature, °C",current',
      '2026-11-30T00:00:00.000Z,20.5,',
      '2026-11-30T00:00:01.000Z,-3,1e-7',
      '',
    ].join('\r\n'),
  );
});

it('only the visible span of a plot is saved', () => {
  const data = [
    [0, 0.1, 0.2, 0.3],
    [1, 2, 3, 4],
  ];
  const csv = plotCsv({ data, series: [{ label: 'x' }], view: [0.1, 0.2] });
  expect(csv).toBe('seconds,x\r\n0.1,2\r\n0.2,3\r\n');
});

it('texts that spreadsheets would run are disarmed, and negative numbers are not', () => {
  expect(csvText([['=1+1', '-2', '-2.5e-7', '-1+cmd', '@x', 'a"b']])).toBe(
    `'=1+1,-2,-2.5e-7,'-1+cmd,'@x,"a""b"\r\n`,
  );
});

it('file names contain only characters that every file system accepts', () => {
  expect(['imu of press-4, live', '../..', 'a/b'].map(fileName)).toEqual([
    ...['imu-of-press-4-live', 'plot', 'a-b'],
  ]);
});

it('the legend of a picture wraps into rows, and shortens a label that is longer than a row', () => {
  expect(legendHeight(legendPlaces([100], 390))).toBe(30);
  // A row of 390 px has room from 56 px to 380 px: two entries of 21 + 100 px with 18 px between them.
  const places = legendPlaces([100, 100, 100, 900, 50], 390);
  expect(places).toEqual([
    { left: 56, top: 4, width: 100 },
    { left: 195, top: 4, width: 100 },
    { left: 56, top: 26, width: 100 },
    { left: 56, top: 48, width: 303 },
    { left: 56, top: 70, width: 50 },
  ]);
  expect(legendHeight(places)).toBe(96);
  const ten = legendPlaces(new Array(10).fill(80), 900);
  expect(ten.filter(({ left, width }) => left + 21 + width > 890)).toEqual([]);
  expect(ten.at(-1)?.top).toBe(26);
});

const colors = { background: '#fff', ink: '#000', soft: '#666', rule: '#ddd' };
const svgOf = (plot: Partial<SvgPlot> & Pick<SvgPlot, 'xs' | 'lines' | 'view'>) =>
  plotSvg({ bands: [], clock: false, width: 466, height: 244, colors, ...plot });
/** Points of the lines in an SVG. */
const pathsIn = (svg: string) =>
  [...svg.matchAll(/<path d="M([^"]*)"/g)].map(([, path = '']) =>
    path.split('L').map((point) => point.split(' ').map(Number)),
  );

it('an SVG has the visible span at the places of its axes, with a gap between two lines', () => {
  const line = { label: 'rpm', color: '#00f', values: [7, 0, 10, null, 10, 99] };
  const svg = svgOf({ xs: [-1, 0, 1, 2, 4, 9], lines: [line], view: [0, 4] });
  // Values from -1 to 11 at 210 px to 10 px, and times from 0 to 4 at 56 px to 456 px.
  expect(pathsIn(svg)).toEqual([
    [
      [56, 193.33],
      [156, 26.67],
    ],
    [
      [456, 26.67],
      [456, 26.67],
    ],
  ]);
  const ticks = [...svg.matchAll(/<text x="([\d.]+)" y="228"[^>]*>([^<]*)/g)].map(([, x, name]) => [x, name]);
  expect(ticks).toEqual([
    ...[
      ['56', '0'],
      ['156', '1'],
      ['256', '2'],
      ['356', '3'],
      ['456', '4'],
    ],
  ]);
});

it('a line of a zoomed plot reaches both edges in an SVG, and is clipped to the area between the axes', () => {
  const line = { label: 'rpm', color: '#00f', values: [100, undefined, 0, 10, undefined, -90, 5] };
  const svg = svgOf({ xs: [-2, -1, 1, 3, 3.5, 5, 6], lines: [line], view: [0, 4] });
  // At the edges, the line is at 33.3 and -40. The scale is that of the visible points, as in the picture.
  expect(pathsIn(svg)).toEqual([
    [
      [56, -362.22],
      [156, 193.33],
      [356, 26.67],
      [456, 860],
    ],
  ]);
  expect(svg).toContain('<clipPath id="area"><rect x="56" y="10" width="400" height="200"/></clipPath>');
  const clipped = /<g clip-path="url\(#area\)">(.*?)<\/g>/s.exec(svg)?.[1] ?? '';
  expect(pathsIn(clipped)).toEqual(pathsIn(svg));
});

it('an SVG shows a line whose points are all outside, unless there is a gap', () => {
  const zoomed = (values: (number | null)[]) =>
    pathsIn(svgOf({ xs: [0, 5, 10], lines: [{ label: 'x', color: '#00f', values }], view: [6, 8] }));
  // From 12 to 16 with a tenth above and below.
  expect(zoomed([0, 10, 20])).toEqual([
    [
      [56, 193.33],
      [456, 26.67],
    ],
  ]);
  expect(zoomed([0, null, 20])).toEqual([]);
});

it('a label that is longer than a row is condensed in an SVG, and others are not', () => {
  const lines = ['a'.repeat(90), 'short'].map((label) => ({ label, color: '#00f', values: [0, 1] }));
  const svg = svgOf({ xs: [0, 1], lines, view: [0, 1] });
  // From 56 + 21 px to 10 px before the right edge.
  expect(svg).toMatch(/<text x="77"[^>]* textLength="379" lengthAdjust="spacingAndGlyphs">a{90}</);
  expect(svg.match(/textLength/g)).toHaveLength(1);
});

it('lines of two axes have a scale each in an SVG, and a band is behind them', () => {
  const lines = [
    { label: 'a', axis: 'rpm', color: '#00f', values: [0, 1000] },
    { label: 'b', axis: '°C', color: '#0f0', values: [20, 21] },
  ];
  const bands = [{ from: 0.5, to: 9, label: 'worn', color: '#f00' }];
  const svg = svgOf({ xs: [0, 1], lines, view: [0, 1], bands });
  const [a, b] = pathsIn(svg);
  expect(a).toEqual(b);
  expect(svg).toContain('>rpm</text>');
  expect(svg).toContain('>°C</text>');
  // From the middle of 56 px to 410 px to the right edge.
  expect(svg).toContain('<rect x="233" y="10" width="177" height="200" fill="#f00" opacity="0.13"/>');
});

it('an SVG of a long recording has at most four points per pixel, with all peaks', () => {
  const xs = Array.from({ length: 200_000 }, (_, i) => i / 1000);
  const values = xs.map((x, i) => (i === 123_456 ? 50 : Math.sin(x * 400)));
  const [points = []] = pathsIn(
    svgOf({ xs, lines: [{ label: 'x', color: '#00f', values }], view: [0, 200] }),
  );
  expect(points.length).toBeLessThanOrEqual(4 * 401);
  const highest = Math.min(...points.map(([, y = 0]) => y));
  expect(highest).toBe(26.67);
});

it('names of devices cannot add elements to an SVG', () => {
  const label = '</text><script>alert(1)</script>\u0000"&';
  const svg = svgOf({ xs: [0, 1], lines: [{ label, color: '#00f', values: [0, 1] }], view: [0, 1] });
  expect(svg).toContain('>&lt;/text&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;</text>');
  expect(svg).not.toContain('<script');
});
