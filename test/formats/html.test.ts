import { describe, expect, it } from 'vitest';
import { html, htmlTable, reportPage } from '../../src/lib/formats/html.js';
import { barChart, histogram, lineChart, stackChart } from '../../src/lib/formats/html-charts.js';

describe('the HTML builder', () => {
  it('escapes values that are not markup', () => {
    expect(html`<p title="${'"'}">${'<b>'}${html`<i>${1}</i>`}${null}${['a', html`<br>`]}</p>`.text).toBe(
      '<p title="&quot;">&lt;b&gt;<i>1</i>a<br></p>',
    );
  });

  it('aligns numeric columns to the right, and keeps short columns on one line', () => {
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

describe('a report page', () => {
  it('escapes its title, omits null sections, and prevents the browser from loading anything', () => {
    const text = reportPage({ title: '<x>', lead: 'a & b', sections: [null, html`<p>here</p>`], aiot: '1' });
    expect(text).toContain('<title>&lt;x&gt;</title>');
    expect(text).toContain('<h1>&lt;x&gt;</h1>');
    expect(text).toContain('<p class="lead">a &amp; b</p>\n<p>here</p>\n<footer>');
    expect(text).toContain("content=\"default-src 'none'; style-src 'unsafe-inline'\"");
    expect(text).not.toMatch(/(?:src|href)=|url\(|@import|https?:/);
  });
});

describe('a chart', () => {
  const same = { by: 'epoch', format: String };
  it.each([
    ['one epoch', lineChart({ ...same, title: 'Loss', series: [{ name: 'a', values: [0.5] }] })],
    ['a flat line', lineChart({ ...same, title: 'Loss', series: [{ name: 'a', values: [0, 0, 0] }] })],
    [
      'a single point in time',
      lineChart({ ...same, title: 'T', series: [{ name: 'a', values: [1] }], x: [5], steps: true }),
    ],
    ['no bars', barChart({ title: 'B', bars: [] })],
    ['bars of zero', barChart({ title: 'B', bars: [{ name: 'a', value: 0, text: '0', deviation: 0 }] })],
    ['an empty stack', stackChart({ title: 'S', parts: [], rows: [{ name: 'a', values: [], text: '' }] })],
    ['a constant value', histogram({ from: 2, to: 2, area: [1], spoken: 'two' })],
  ])('avoids division by zero for %s', (_, { text }) => {
    expect(text).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('omits absent parts, and describes each stack in a label', () => {
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
