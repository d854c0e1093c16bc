import { describe, expect, it } from 'vitest';
import { html, htmlTable, reportPage } from '../../src/lib/formats/html.js';
import { barChart, histogram, lineChart, stackChart } from '../../src/lib/formats/html-charts.js';

describe('markup', () => {
  it('is escaped unless it is markup', () => {
    expect(html`<p title="${'"'}">${'<b>'}${html`<i>${1}</i>`}${null}${['a', html`<br>`]}</p>`.text).toBe(
      '<p title="&quot;">&lt;b&gt;<i>1</i>a<br></p>',
    );
  });

  it('aligns columns of numbers to the right, and keeps what is short on one line', () => {
    const { text } = htmlTable(
      ['name', 'n', 'said'],
      [
        ['a', '1.5 %', 'three words and then some more'],
        ['b', '–', '<b>'],
      ],
    );
    expect(text).toContain('<th class="number short">n</th>');
    expect(text).toContain('<th class="short">name</th>');
    expect(text).toContain('<td>three words');
    expect(text).toContain('&lt;b&gt;');
  });
});

describe('a page', () => {
  it('escapes its title, leaves out what is null, and forbids the browser to load anything', () => {
    const text = reportPage({ title: '<x>', lead: 'a & b', sections: [null, html`<p>here</p>`], aiot: '1' });
    expect(text).toContain('<title>&lt;x&gt;</title>');
    expect(text).toContain('<h1>&lt;x&gt;</h1>');
    expect(text).toContain('<p class="lead">a &amp; b</p>\n<p>here</p>\n<footer>');
    expect(text).toContain("content=\"default-src 'none'; style-src 'unsafe-inline'\"");
    expect(text).not.toMatch(/(?:src|href)=|url\(|@import|https?:/);
  });
});

describe('a figure', () => {
  const same = { by: 'epoch', format: String };
  it.each([
    ['one epoch', lineChart({ ...same, title: 'Loss', series: [{ name: 'a', values: [0.5] }] })],
    ['a flat line', lineChart({ ...same, title: 'Loss', series: [{ name: 'a', values: [0, 0, 0] }] })],
    [
      'one moment',
      lineChart({ ...same, title: 'T', series: [{ name: 'a', values: [1] }], x: [5], steps: true }),
    ],
    ['no bars', barChart({ title: 'B', bars: [] })],
    ['bars of nothing', barChart({ title: 'B', bars: [{ name: 'a', value: 0, text: '0', deviation: 0 }] })],
    ['an empty stack', stackChart({ title: 'S', parts: [], rows: [{ name: 'a', values: [], text: '' }] })],
    ['a value that stands still', histogram({ from: 2, to: 2, area: [1], spoken: 'two' })],
  ])('of %s divides nothing by zero', (_, { text }) => {
    expect(text).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('tells by the legend what there is, and by a label what is stacked', () => {
    const { text } = stackChart({
      title: 'Waves',
      parts: [
        { name: 'well', paint: 'good' },
        { name: 'never', paint: 'soft' },
        { name: '<bad>', paint: 'bad' },
      ],
      rows: [{ name: 'wave_1', values: [3, 0, 1], text: '3 of 4' }],
    });
    expect(text).toContain('aria-label="3 well, 1 &lt;bad&gt;"');
    expect(text).not.toContain('never');
    expect(text).toContain('wave_<wbr>1');
    expect(text.match(/--share:([\d.]+)%/g)).toEqual(['--share:75.00%', '--share:25.00%']);
  });
});
