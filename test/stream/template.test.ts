import { describe, expect, it } from 'vitest';
import { nameTemplate } from '../../src/lib/stream/file/template.js';
import { fc } from '../support/property.js';

const message = {
  topic: 'plant/7',
  payload: new Uint8Array(),
  time: Date.UTC(2026, 10, 20, 18, 30, 5, 123),
  key: Buffer.from('k1'),
};

describe('a file name template', () => {
  it.each([
    ['face{n}.png', 'face3.png'],
    ['faces/{n:6}', 'faces/000003'],
    ['{topic}/{key}.json', 'plant/7/k1.json'],
    ['{time}', '20261120T183005123Z'],
    ['{time:YYYY/MM/DD/HH/mm-ss.SSS}/{n}', '2026/11/20/18/30-05.123/3'],
    ['(a+b).[n]$', '(a+b).[n]$'],
  ])('renders %s as %s', (template, name) => {
    expect(nameTemplate(template, 'x').render(message, 3)).toBe(name);
  });

  it('cannot escape its folder through message fields', () => {
    const hostile = { ...message, topic: '../../etc/./passwd', key: Buffer.from('/a\\b\n') };
    expect(nameTemplate('out/{topic}/{key}', 'x').render(hostile, 0)).toBe('out/_/_/etc/_/passwd/_/a_b_');
  });

  it('finds the number in every name that it rendered', () => {
    const templates = ['face{n}.png', 'a/{n:4}/b', '{time:YYYY}/{n}', '{topic}-{n}-{key}', '{n}{n}'];
    fc.assert(
      fc.property(fc.constantFrom(...templates.slice(0, 4)), fc.nat(), (text, n) => {
        const template = nameTemplate(text, 'x');
        expect(template.numberIn(template.render(message, n))).toBe(n);
      }),
    );
  });

  it.each(['face1.png.bak', 'xface1.png', 'face.png', 'face-1.png'])(
    'does not recognize %s as one of its names',
    (name) => {
      expect(nameTemplate('face{n}.png', 'x').numberIn(name)).toBeUndefined();
    },
  );

  it.each(['{who}', '{n:x}', '{n', 'a}b', '{n:123}'])('rejects %s', (template) => {
    expect(() => nameTemplate(template, 'x')).toThrow(expect.objectContaining({ code: 'AIOT_STREAM_URL' }));
  });
});
