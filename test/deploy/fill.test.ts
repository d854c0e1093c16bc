import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { fillTemplate } from '../../src/lib/deploy/template.js';

const filled = (template: string, scope: object) => parse(fillTemplate(template, scope as never)) as unknown;

describe('a template of YAML', () => {
  it('takes a value alone as it is, and in quotes or among text as text', () => {
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

  it('lets no value become anything but a value', () => {
    const evil = 'x\nprivileged: true\n--- # "\' {}[]: &a *b !!c %d';
    const text = fillTemplate('name: <evil>\nkey-<evil>: 1\nlist: [<evil>, a <evil> b]\n', { evil });
    expect(parseAllDocuments(text)).toHaveLength(1);
    expect(parse(text)).toEqual({ name: evil, [`key-${evil}`]: 1, list: [evil, `a ${evil} b`] });
  });

  it('quotes what a parser of YAML 1.1 would not take for text', () => {
    const words = ['yes', 'off', 'NULL', '0755', '1_000', '12:30:45', '~', '1e3', ''];
    const text = fillTemplate('all: <words>\n', { words });
    expect((parse(text, { version: '1.1' }) as { all: string[] }).all).toEqual(words);
  });

  it('leaves out what is null, and what is not to be there', () => {
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

  it('says which name there is not', () => {
    expect(() => fillTemplate('a: <b.c>\n', { b: {} })).toThrow('b.c');
  });
});
