import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { fillTemplate, fillText } from '../../src/lib/deploy/template.js';

const filled = (template: string, scope: object) => parse(fillTemplate(template, scope as never)) as unknown;

describe('a YAML template', () => {
  it('keeps the type of an unquoted value, and inserts others as text', () => {
    const scope = { port: 8443, list: ['a', 'b'], on: true, name: 'x' };
    expect(filled('a: <port>\nb: "<port>"\nc: at-<port>-<name>\nd: <list>\ne: { f: <on> }\n', scope)).toEqual(
      {
        a: 8443,
        b: '8443',
        c: 'at-8443-x',
        d: ['a', 'b'],
        e: { f: true },
      },
    );
  });

  it('keeps a hostile value a plain value', () => {
    const evil = 'x\nprivileged: true\n--- # "\' {}[]: &a *b !!c %d';
    const text = fillTemplate('name: <evil>\nkey-<evil>: 1\nlist: [<evil>, a <evil> b]\n', { evil });
    expect(parseAllDocuments(text)).toHaveLength(1);
    expect(parse(text)).toEqual({ name: evil, [`key-${evil}`]: 1, list: [evil, `a ${evil} b`] });
  });

  it('quotes text that a YAML 1.1 parser would misread', () => {
    const words = ['yes', 'off', 'NULL', '0755', '1_000', '12:30:45', '~', '1e3', ''];
    const text = fillTemplate('all: <words>\n', { words });
    expect((parse(text, { version: '1.1' }) as { all: string[] }).all).toEqual(words);
  });

  it('omits null values, and parts with a false condition', () => {
    const template =
      'a: <none>\nb: { $when: there, c: 1 }\nd: { $when: "!there", e: 1 }\nf: [<none>, { $when: empty }, 2]\n';
    expect(filled(template, { none: null, there: true, empty: [] })).toEqual({ b: { c: 1 }, f: [2] });
  });

  it('repeats items, entries and documents', () => {
    const scope = { all: [{ name: 'x' }, { name: 'y' }], map: { p: 1, q: 2 } };
    expect(filled('list:\n  - $each: all\n    name: n-<item.name>\n', scope)).toEqual({
      list: [{ name: 'n-x' }, { name: 'n-y' }],
    });
    expect(filled('<item.key>:\n  $each: map\n  v: <item.value>\n', scope)).toEqual({
      p: { v: 1 },
      q: { v: 2 },
    });
    const text = fillTemplate('# said once\n$each: all\nname: <item.name>\n---\nz: 1\n', scope);
    expect(parseAllDocuments(text).map((document) => document.toJS())).toEqual([
      { name: 'x' },
      { name: 'y' },
      { z: 1 },
    ]);
    expect(text.match(/said once/g)).toHaveLength(1);
  });

  it('reports an unknown variable', () => {
    expect(() => fillTemplate('a: <b.c>\n', { b: {} })).toThrow('b.c');
  });
});

describe('a text template', () => {
  it('inserts values, and nests conditional and repeated lines', () => {
    const template =
      '# <name> at <at.port>\n<when on>\nyes\n<each all>\n- <item.a><name>\n<end>\n<end>\n<when !on>\nno\n<end>\nend\n';
    const scope = { name: 'x', at: { port: 1 }, all: [{ a: 'p' }, { a: 'q' }] };
    expect(fillText(template, { ...scope, on: true })).toBe('# x at 1\nyes\n- px\n- qx\nend\n');
    expect(fillText(template, { ...scope, on: false })).toBe('# x at 1\nno\nend\n');
  });

  it('rejects an unknown name and an unterminated directive', () => {
    expect(() => fillText('<there>', {})).toThrow('a template refers to there');
    expect(() => fillText('<when on>\n', { on: true })).toThrow('a template is missing <end> for <when on>');
  });
});
