import { describe, expect, it } from 'vitest';
import {
  anyOf,
  type Expression,
  everyOf,
  keysOf,
  listedNames,
  matchesGlob,
  type Operator,
  onlineOnly,
  parseExpression,
  parseSelector,
  possibleNames,
  requireKnownTags,
  requireListedNames,
  type Selectable,
  testOf,
} from '../../src/lib/fleet/selector.js';
import { keys } from '../../src/lib/fleet/selector-keys.js';
import { compareVersions } from '../../src/lib/fleet/version.js';
import { fc, runs } from '../support/property.js';
import { printSelector } from './print-selector.js';

const day = 86_400_000;
const now = Date.parse('2026-11-20T12:00:00Z');
const motor: Selectable = {
  name: 'motor-1',
  id: 'dev_01k',
  type: 'esp32',
  state: 'active',
  groups: ['hall', 'line-1'],
  tags: { site: 'lab', floor: '2', room: 'A 1', group: 'mine', not: 'x' },
  online: true,
  model: { name: 'har', version: 3 },
  firmware: '1.10.2',
  lastSeen: now - 3 * day,
  created: Date.parse('2026-10-01T00:00:00Z'),
  mac: '24:0a:c4:12:34:56',
};
const bare: Selectable = {
  ...{ name: 'bare', id: 'dev_02', type: 'pi', state: 'registered', groups: [], tags: {}, online: false },
  ...{ model: null, firmware: null, lastSeen: null, created: now, mac: null },
};

describe('a selector', () => {
  it.each<[string, boolean, boolean]>([
    ['all', true, true],
    ['ALL', true, true],
    ['motor-1', true, false],
    ['motor-2', false, false],
    ['motor-1,bare', true, true],
    [' other , "motor-1" ', true, false],
    ['type=esp32', true, false],
    ['type = esp32 and name=motor-1', true, false],
    ['type=esp32 AND name!=motor-1', false, false],
    ['name=motor-10', false, false],
    ['name in (motor-1, bare)', true, true],
    ['name not in (motor-1)', false, true],
    ['name~motor-*', true, false],
    ['name ~ "m?tor-1"', true, false],
    ['state!=revoked', true, true],
    ['group=hall', true, false],
    ['group!=hall', false, true],
    ['group~line-*', true, false],
    ['has group', true, false],
    ['online=true', true, false],
    ['not online=true', false, true],
    ['model=har', true, false],
    ['model=har@3', true, false],
    ['model=har@2', false, false],
    ['not has model', false, true],
    ['fw<1.4', false, false],
    ['fw>=1.9', true, false],
    ['fw=v1.10.2.0', true, false],
    ['fw!=1.10.2', false, true],
    ['fw~1.10.*', true, false],
    ['fw in (1.9, 1.10.2)', true, false],
    ['lastSeen>2d', true, false],
    ['lastSeen<=2d', false, false],
    ['lastSeen<2026-11-18', true, false],
    ['lastSeen>=2026-11-17T12:00:00Z', true, false],
    ['created<30d', false, true],
    ['created>2026-11-01', false, true],
    ['mac=24-0A-C4-12-34-56', true, false],
    ['site=lab', true, false],
    ['site!=lab', false, true],
    ['has site', true, false],
    ['not has site', false, true],
    ['floor>=2', true, false],
    ['floor>10', false, false],
    ['site>1', false, false],
    ['room="A 1"', true, false],
    ["room='A 1'", true, false],
    ['tag.group=mine', true, false],
    ['tag.not=x', true, false],
    ['constructor=x or has constructor', false, false],
    ['name=bare or type=esp32 and site=lab', true, true],
    ['(name=bare or type=esp32) and site=lab', true, false],
    ['not (name=bare or site=lab)', false, false],
    ['not not site=lab', true, false],
    ['type=esp32 and fw<1.4', false, false],
  ])('%s', (text, ofMotor, ofBare) => {
    const test = parseSelector(text, now);
    expect([test(motor), test(bare)]).toEqual([ofMotor, ofBare]);
  });

  it.each([
    ['', 1, 'all, a key, not, has or (', 'the end'],
    ['type', 5, 'an operator after type', 'the end'],
    ['motor-1,', 9, 'the name of a device', 'the end'],
    ['motor-1,all', 9, 'the name of a device', '"all"'],
    ['motor-1,bare and type=pi', 14, 'and or or', '"and"'],
    ['motor-1 and type=pi', 9, 'an operator after tag.motor-1', '"and"'],
    ['name=', 6, 'a value after =', 'the end'],
    ['name=a and', 11, 'all, a key, not, has or (', 'the end'],
    ['all and name=a', 5, 'nothing after all', '"and"'],
    ['name=a name=b', 8, 'and or or', '"name"'],
    ['name=and', 6, 'a value after = (a word of the grammar in quotes)', '"and"'],
    ['(name=a', 8, 'and, or, or )', 'the end'],
    ['name=a)', 7, 'and or or', '")"'],
    ['name in a', 9, '( after in', '"a"'],
    ['name in (a b)', 12, ', or )', '"b"'],
    ['name not = a', 10, 'in', '"="'],
    ["name='a", 8, "a closing quote for ' at column 6", 'the end'],
    ['name=a & type=b', 8, 'a key, an operator or a value', '"&"'],
    ['type<b', 5, 'one of = != in ~ has with type', '<'],
    ['state=gone', 7, 'registered or provisioned', '"gone"'],
    ['online=yes', 8, 'true or false', '"yes"'],
    ['fw<latest', 4, 'a version such as 1.4', '"latest"'],
    ['lastSeen>2', 10, 'a time such as 2d', '"2"'],
    ['lastSeen>99999999999d', 10, 'a time such as 2d', '"99999999999d"'],
    ['lastSeen=2d', 9, 'one of < <= > >= has with lastSeen', '='],
    ['lastSeen>2026-13-40', 10, 'a time', '"2026-13-40"'],
    ['lastseen>2d', 1, 'lastSeen, or tag.lastseen for a tag', 'lastseen'],
    ['floor>high', 7, 'a number', '"high"'],
    ['1st=x', 1, 'a key that starts with a letter', '"1st"'],
    [`${'('.repeat(40)}name=a${')'.repeat(40)}`, 34, 'at most 32 levels', 'one more'],
    [`name=${'a'.repeat(5000)}`, 4001, 'at most 4000 characters', '5005 characters'],
  ])('rejects "%s" at column %i', (text, column, expected, got) => {
    expect(() => parseSelector(text, now)).toThrow(
      expect.objectContaining({ code: 'AIOT_SELECTOR_INVALID' }),
    );
    expect(() => parseSelector(text, now)).toThrow(`column ${column}: expected ${expected}`);
    expect(() => parseSelector(text, now)).toThrow(`got ${got}`);
  });

  it('is evaluated quickly even if a regular expression would never finish', () => {
    const pattern = `name~"${'*a'.repeat(1500)}b"`;
    const began = performance.now();
    expect(parseSelector(pattern, now)({ ...motor, name: 'a'.repeat(3000) })).toBe(false);
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

const word = fc.string({ minLength: 1, maxLength: 6 });
const glob = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 });
const versionText = fc
  .tuple(
    fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 4 }),
    fc.array(fc.constantFrom('rc', 'alpha', '1', '2', '10', 'beta-2'), { maxLength: 2 }),
  )
  .map(([numbers, pre]) => numbers.join('.') + (pre.length > 0 ? `-${pre.join('.')}` : ''));
const values: Record<string, fc.Arbitrary<string>> = {
  state: fc.constantFrom('registered', 'active', 'revoked'),
  online: fc.constantFrom('true', 'false'),
  fw: versionText,
  lastSeen: fc.constantFrom('2d', '1h', '2026-11-19'),
  created: fc.constantFrom('2d', '1h', '2026-11-19'),
  mac: fc.constantFrom('24:0a:c4:12:34:56', '00:00:00:00:00:00'),
};
const term: fc.Arbitrary<Expression> = fc
  .constantFrom(...Object.keys(keys), 'tag.site', 'tag.floor', 'tag.and', 'tag.tag.x', 'tag.name')
  .chain((key) => {
    const ordering = ['<', '<=', '>', '>='] as const;
    const known = keys[key]?.operators ?? (['=', '!=', 'in', '~', 'has', ...ordering] as Operator[]);
    return fc.constantFrom(...known).chain((operator) => {
      const number = fc.constantFrom('1', '2', '-3.5', '10');
      const wantsNumber = key.startsWith('tag.') && operator.match(/[<>]/);
      const value = wantsNumber
        ? number
        : (values[key] ?? fc.oneof(word, number, fc.constantFrom('lab', 'and')));
      const count = operator === 'has' ? 0 : 1;
      const most = operator === 'in' ? 3 : count;
      return fc
        .array(value, { minLength: count, maxLength: most })
        .map((list): Expression => ({ kind: 'term', key, operator, values: list }));
    });
  });
const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    term,
    fc.record({ kind: fc.constant('not' as const), of: tie('expression') }),
    fc.record({
      kind: fc.constantFrom('and' as const, 'or' as const),
      of: fc.array(tie('expression'), { minLength: 2, maxLength: 3 }),
    }),
  ),
}));
const device: fc.Arbitrary<Selectable> = fc.record({
  name: fc.constantFrom('motor-1', 'a', 'lab'),
  id: fc.constantFrom('dev_1', 'lab'),
  type: fc.constantFrom('esp32', 'pi'),
  state: fc.constantFrom('registered', 'active', 'revoked'),
  groups: fc.subarray(['a', 'lab', '10']),
  tags: fc.dictionary(
    fc.constantFrom('site', 'floor', 'and', 'tag.x', 'name'),
    fc.constantFrom('lab', '1', '10', '-3.5', ''),
  ),
  online: fc.boolean(),
  model: fc.option(
    fc.record({ name: fc.constantFrom('har', 'lab'), version: fc.integer({ min: 1, max: 3 }) }),
  ),
  firmware: fc.option(fc.oneof(versionText, fc.constant('deadbeef'))),
  lastSeen: fc.option(fc.integer({ min: now - 4 * day, max: now })),
  created: fc.integer({ min: now - 4 * day, max: now }),
  mac: fc.option(values.mac as fc.Arbitrary<string>),
});

describe('any selector', () => {
  it('keeps its meaning when it is printed and parsed again', () => {
    fc.assert(
      fc.property(expression, device, (tree, each) => {
        const text = printSelector(tree);
        fc.pre(text.length < 3000);
        const again = parseExpression(text);
        expect(printSelector(again)).toBe(text);
        expect(testOf(again, now)(each)).toBe(testOf(tree, now)(each));
      }),
      { numRuns: runs(400) },
    );
  });

  it('matches the same devices as a naive evaluator', () => {
    fc.assert(
      fc.property(expression, device, (tree, each) => {
        expect(testOf(tree, now)(each)).toBe(plainly(tree, each));
      }),
      { numRuns: runs(800) },
    );
  });

  it('is either parsed or rejected with its code', () => {
    const piece = fc.constantFrom(
      ...[
        'and',
        'or',
        'not',
        'in',
        'has',
        'all',
        '(',
        ')',
        ',',
        '=',
        '!=',
        '<',
        '~',
        '"',
        "'",
        '\\',
        ' ',
        '𝄞',
      ],
      ...['fw', 'site', '1.4', 'tag.', 'x'],
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece).map((list) => list.join(' ')),
        ),
        (text) => {
          try {
            parseSelector(text, now)(motor);
          } catch (error) {
            expect(error).toMatchObject({ code: 'AIOT_SELECTOR_INVALID' });
          }
        },
      ),
      { numRuns: runs(800) },
    );
  });
});

/**
 * A naive evaluator, written case by case, that shares only the handling of versions and globs with the real
 * one.
 */
function plainly(tree: Expression, it: Selectable): boolean {
  if (tree.kind === 'all') return true;
  if (tree.kind === 'not') return !plainly(tree.of, it);
  if (tree.kind !== 'term') {
    const fitting = tree.of.filter((part) => plainly(part, it)).length;
    return tree.kind === 'and' ? fitting === tree.of.length : fitting > 0;
  }
  const own: Record<string, string[]> = {
    ...{ name: [it.name], id: [it.id], type: [it.type], state: [it.state], group: [...it.groups] },
    ...{ online: [`${it.online}`], mac: it.mac === null ? [] : [it.mac] },
    model: it.model === null ? [] : [it.model.name, `${it.model.name}@${it.model.version}`],
    fw: it.firmware === null ? [] : [it.firmware],
    lastSeen: it.lastSeen === null ? [] : [`${it.lastSeen}`],
    created: [`${it.created}`],
  };
  for (const [tag, value] of Object.entries(it.tags)) own[`tag.${tag}`] = [value];
  const { key, operator, values: wanted } = tree;
  const mine = own[key] ?? [];
  const same = (a: string, b: string) => a === b || (key === 'fw' && compareVersions(a, b) === 0);
  if (operator === 'has') return mine.length > 0;
  if (operator === '=' || operator === 'in') return mine.some((a) => wanted.some((b) => same(a, b)));
  if (operator === '!=') return !mine.some((a) => same(a, wanted[0] as string));
  if (operator === '~') return mine.some((a) => matchesGlob(a, wanted[0] as string));
  const order = mine.map((a) => {
    const b = wanted[0] as string;
    if (key === 'fw') return compareVersions(a, b);
    if (key.startsWith('tag.')) return /^-?\d/.test(a) ? Number(a) - Number(b) : null;
    return b.includes('-') ? Number(a) - Date.parse(b) : now - Number(a) - (b === '2d' ? 2 * day : day / 24);
  })[0];
  if (order === undefined || order === null) return false;
  return { '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[operator];
}

describe('a version', () => {
  // The order in section 11 of semver.org, and cases that a text comparison would get wrong.
  const rising = [
    ...[
      '0.9',
      '1.0.0-alpha',
      '1.0.0-alpha.1',
      '1.0.0-alpha.beta',
      '1.0.0-beta',
      '1.0.0-beta.2',
      '1.0.0-beta.11',
    ],
    ...['1.0.0-rc.1', '1.0.0', '1.0.1', '1.4', '1.9', '1.10', '1.10.0.1', '2', '10', '99999999999999999999'],
  ];
  it('is ordered after each earlier version', () => {
    for (const [i, a] of rising.entries())
      for (const [j, b] of rising.entries())
        expect(Math.sign(compareVersions(a, b) as number)).toBe(Math.sign(i - j));
  });

  it.each([
    ['1.4', '1.4.0', 0],
    ['v1.4', '1.4+build.7', 0],
    ['01.04', '1.4', 0],
    ['deadbeef', '1.4', null],
    ['1.4-', '1.4', null],
    ['', '1.4', null],
  ])('compares %s to %s as %s', (a, b, order) => expect(compareVersions(a, b)).toBe(order));
});

it('a glob matches the same text as the equivalent regular expression', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 }), glob, (text, pattern) => {
      const regex = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`);
      expect(matchesGlob(text, pattern)).toBe(regex.test(text));
    }),
    { numRuns: runs(1000) },
  );
});

describe('a selector that is a list of names', () => {
  const names = ['motor-1', 'motor-2'];
  const require = (text: string) => requireListedNames(text, new Set(names), () => names);

  it.each(['motor-1', 'motor-1,motor-2', 'name in (motor-1)', 'all', 'name=motor-9', 'site=lab'])(
    'accepts %s',
    (text) => {
      expect(() => require(text)).not.toThrow();
    },
  );

  it('rejects a name that no device has, and suggests the nearest', () => {
    expect(() => require('motor-1,motr-2')).toThrow(
      expect.objectContaining({
        code: 'AIOT_NOT_FOUND',
        message: 'no device is named motr-2. Did you mean motor-2?',
      }),
    );
  });
});

describe('a selector that matches no devices', () => {
  const tags = () => new Set(['site', 'hall']);

  it.each(['all', 'type=esp32', 'site=lab', 'not site=lab and fw<2', 'customer=acme'])(
    'accepts %s',
    (text) => {
      expect(() => requireKnownTags(text, tags)).not.toThrow();
    },
  );

  it.each([
    ['tpye=esp32', 'tpye', 'type'],
    ['online=true and (tag.sote=lab or not hall=2)', 'sote', 'site'],
  ])('rejects %s, because no device has such a tag, and suggests the nearest name', (text, tag, near) => {
    expect(() => requireKnownTags(text, tags)).toThrow(
      expect.objectContaining({
        code: 'AIOT_SELECTOR_INVALID',
        message: `no device has a tag named ${tag}. Did you mean ${near}?`,
      }),
    );
  });
});

describe('selectors in combination', () => {
  it.each<[string[], string, string]>([
    [[], 'all', 'all'],
    [['site=lab'], 'site=lab', 'site=lab'],
    [['site=lab', ' site=lab '], 'site=lab', 'site=lab'],
    [['all', 'site=lab'], 'site=lab', 'all'],
    [['site=lab', ' ALL '], 'site=lab', 'all'],
    [
      ['site=lab or name=bare', 'motor-1'],
      '(site=lab or name=bare) and name=motor-1',
      '(site=lab or name=bare) or name=motor-1',
    ],
    [
      ['motor-1,bare', 'not site=lab'],
      'name in (motor-1, bare) and not site=lab',
      'name in (motor-1, bare) or not site=lab',
    ],
  ])('%j match the devices that match all, or any', (texts, all, any) => {
    expect(everyOf(texts)).toBe(all);
    expect(anyOf(texts)).toBe(any);
    const tests = texts.map((text) => parseSelector(text, now));
    for (const device of [motor, bare]) {
      expect(parseSelector(all, now)(device)).toBe(tests.every((test) => test(device)));
      if (texts.length === 0) continue;
      expect(parseSelector(any, now)(device)).toBe(tests.some((test) => test(device)));
    }
  });

  it('name the keys that they test, and listed names', () => {
    expect([...keysOf('site=lab and not (fw<1.4 or has tag.x) or name in (a, b)')]).toEqual([
      ...['tag.site', 'fw', 'tag.x', 'name'],
    ]);
    expect([...keysOf('all')]).toEqual([]);
    expect([...keysOf('a,b')]).toEqual(['name']);
    expect(listedNames('a, "b c"')).toEqual(['a', 'b c']);
    expect(listedNames('site=lab')).toBeNull();
  });

  it.each<[string, string[] | null]>([
    ['a, "b c"', ['a', 'b c']],
    ['name=a', ['a']],
    ['site=lab and name in (a, b)', ['a', 'b']],
    ['name=a or (site=lab and name in (a, b))', ['a', 'b']],
    ['name=a or site=lab', null],
    ['not name=a', null],
    ['name~a*', null],
    ['tag.name=a', null],
    ['all', null],
  ])('%s limits the names of devices', (text, names) => {
    expect(possibleNames(text)).toEqual(names);
  });
});

describe('the same selector for online devices only', () => {
  it.each<[string, string | null]>([
    ['all', 'online=true'],
    ['site=lab', 'online=true and site=lab'],
    [' site=lab and not fw<1.4 ', 'online=true and site=lab and not fw<1.4'],
    ['site=lab or name=bare', 'online=true and (site=lab or name=bare)'],
    ['motor-1', 'online=true and name=motor-1'],
    ['motor-1, "hall 2", "or"', 'online=true and name in (motor-1, "hall 2", "or")'],
    ['name in (motor-1, bare)', 'online=true and name in (motor-1, bare)'],
    ['not (site=lab or lastSeen>2d)', 'online=true and not (site=lab or lastSeen>2d)'],
    ['online=true', null],
    ['site=lab and not (type=pi or online=false)', null],
  ])('of %s is %s', (text, expected) => {
    expect(onlineOnly(text)).toBe(expected);
    if (expected === null) return;
    const [narrow, wide] = [parseSelector(expected, now), parseSelector(text, now)];
    for (const device of [motor, bare, { ...motor, online: false }, { ...bare, online: true }]) {
      expect(narrow(device)).toBe(device.online && wide(device));
    }
  });
});
