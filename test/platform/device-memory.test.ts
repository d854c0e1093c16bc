import { describe, expect, it } from 'vitest';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { parseExpression, type Selectable, testOf } from '../../src/lib/fleet/selector.js';
import { DeviceMemory } from '../../src/lib/platform/devices/memory.js';
import type { DeviceRecord } from '../../src/lib/platform/devices/records.js';
import { fc, runs } from '../support/property.js';

const now = Date.UTC(2026, 10, 20);
const names = ['a', 'b', 'motor-1', 'motor-10', 'motor-2', 'Ä'];

function viewOf(device: DeviceRecord): Selectable {
  const { reported, ...rest } = device;
  const firmware = reported?.firmware?.version ?? null;
  return { ...rest, online: device.revision % 2 === 0, model: reported?.model ?? null, firmware };
}

const record: fc.Arbitrary<DeviceRecord> = fc
  .record({
    name: fc.constantFrom(...names),
    type: fc.constantFrom('esp32', 'pi'),
    state: fc.constantFrom('registered' as const, 'active' as const, 'revoked' as const),
    mac: fc.constantFrom(null, '24:0a:c4:12:34:56', '24:0a:c4:12:34:57'),
    chipId: fc.constantFrom(null, '1', '2'),
    revision: fc.integer({ min: 1, max: 4 }),
    groups: fc.subarray(['canary', 'lab']),
    tags: fc.dictionary(fc.constantFrom('site', 'line', 'toString'), fc.constantFrom('hall-1', '2', '10')),
    version: fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
    key: fc.nat(1000),
  })
  .map(({ version, key, ...rest }) => {
    const model = { name: 'har', version: version ?? 1, sequence: 1, digest: 'sha256:0' };
    const firmware = { name: 'fw', version: `1.${version}.0` };
    const reported = version === null ? null : ({ type: rest.type, model, firmware } as Reported);
    return {
      ...{ ...rest, id: `id-${rest.name}`, fingerprint: `f-${key}`, expires: now, created: now - key },
      ...{ nextFingerprint: null, nextExpires: null, lastSeen: null, settings: null, reported },
    };
  });

const selectors = [
  ...['all', 'type=esp32', 'not type=esp32', 'state in (active, registered)', 'group=canary', 'has group'],
  ...['model=har', 'model=har@2', 'fw<1.3', 'fw>=1.2 and type=pi', 'site=hall-1', 'line>3', 'has line'],
  ...['site~hall* or line=2', 'name~motor* and type=esp32', 'online=true', 'online=true and site=hall-1'],
  ...[
    'mac=24:0a:c4:12:34:56',
    'mac in (24:0a:c4:12:34:56, 24:0a:c4:12:34:57) and type=pi',
    'name=a or name=b',
  ],
  ...[
    'a,motor-1',
    'name in (motor-2, b) and site=hall-1',
    'not (type=esp32 and online=true)',
    'has toString',
    'nothing!=1',
    'nothing=1 or type=pi',
    'not has nothing and site=hall-1',
  ],
];

const change = fc.record({
  what: fc.constantFrom('comes', 'goes', 'changes', 'reports', 'is chosen'),
  record,
  selector: fc.constantFrom(...selectors),
});

describe('devices in memory', () => {
  it('are chosen as by a test of each device, whatever is added, changed and removed', () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 40, size: 'max' }), (changes) => {
        const memory = new DeviceMemory();
        const expected = new Map<string, DeviceRecord>();
        // Makes the columns, which must then follow all changes.
        for (const selector of selectors) memory.choose(parseExpression(selector));
        const plain = () => [...expected.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
        for (const { what, record, selector } of [
          ...changes,
          ...selectors.map((selector) => ({ ...changes[0]!, what: 'is chosen', selector })),
        ]) {
          const known = memory.find(record.name);
          if (what === 'comes') {
            memory.remember(structuredClone(record));
            expected.set(record.name, record);
          } else if (what === 'goes' && known) {
            memory.forget(known);
            expected.delete(record.name);
          } else if ((what === 'changes' || what === 'reports') && known) {
            const { reported, state, tags, groups, mac, chipId } = record;
            const parts = what === 'reports' ? { reported } : { state, tags, groups, mac, chipId };
            memory.assign(known, structuredClone(parts));
            expected.set(record.name, { ...expected.get(record.name)!, ...parts });
          } else if (what === 'is chosen') {
            const expression = parseExpression(selector);
            const all = plain().filter((device) => testOf(expression, now)(viewOf(device)));
            for (const after of [undefined, 'b', 'motor-1']) {
              const { devices, rest } = memory.choose(expression, after);
              const test = rest && testOf(rest, now);
              const chosen = devices.filter((device) => test === null || test(viewOf(device)));
              const later = all.filter(({ name }) => after === undefined || name > after);
              expect(chosen).toEqual(later);
              const some = memory.choose(expression, after, 1);
              if (some.rest === null) expect(some.devices).toEqual(later.slice(0, 1));
            }
          }
          expect(memory.records()).toEqual(plain());
          expect([...memory.tagNames()].sort()).toEqual(
            [...new Set(plain().flatMap(({ tags }) => Object.keys(tags)))].sort(),
          );
          for (const mac of ['24:0a:c4:12:34:56', '24:0a:c4:12:34:57']) {
            const these = plain().filter((device) => device.mac === mac);
            expect(
              memory
                .withBoard({ mac })
                .map(({ name }) => name)
                .sort(),
            ).toEqual(these.map(({ name }) => name).sort());
          }
        }
      }),
      { numRuns: runs(200) },
    );
  });

  it('share equal parts of reports, so that a fleet does not need the memory of its copies', () => {
    const memory = new DeviceMemory();
    const model = { name: 'har', version: 1, sequence: 1, digest: 'sha256:0' };
    const of = (name: string) =>
      structuredClone({
        ...{
          name,
          tags: { site: 'hall-1' },
          fingerprint: null,
          nextFingerprint: null,
          mac: null,
          chipId: null,
        },
        ...{
          groups: ['lab'],
          type: 'esp32',
          reported: { t: 1, model, vitals: { uptimeMs: 1, boot: { reason: 'x' } } },
        },
      }) as unknown as DeviceRecord;
    memory.remember(of('a'));
    memory.remember(of('b'));
    const [a, b] = [memory.find('a')!, memory.find('b')!];
    expect(a).toEqual({ ...of('b'), name: 'a' });
    expect(a.tags).toBe(b.tags);
    expect(a.groups).toBe(b.groups);
    expect(a.reported?.model).toBe(b.reported?.model);
    expect(a.reported).not.toBe(b.reported);
    memory.assign(a, { reported: { ...structuredClone(a.reported!), t: 2 } });
    expect(a.reported?.model).toBe(b.reported?.model);
    expect([a.reported?.t, b.reported?.t]).toEqual([2, 1]);
  });

  it('are chosen by any number of tags, and by tags that differ between all devices', () => {
    const memory = new DeviceMemory();
    const many = Array.from({ length: 20 }, (_, i) => `key${i}`);
    for (let i = 0; i < 60_000; i++) {
      const tags = {
        serial: `s-${i}`,
        ...Object.fromEntries(many.map((key, k) => [key, String((i >> k) & 1)])),
      };
      memory.remember({ name: `d-${i}`, type: 'esp32', tags, groups: [], fingerprint: null } as never);
    }
    const chosen = (selector: string) => {
      const { devices, rest } = memory.choose(parseExpression(selector));
      const test = rest && testOf(rest, now);
      return devices.filter((device) => test === null || test(viewOf(device))).map(({ name }) => name);
    };
    expect(chosen(many.map((key) => `${key}=1`).join(' and '))).toEqual([]);
    expect(
      chosen(
        many
          .slice(0, 15)
          .map((key) => `${key}=1`)
          .join(' and '),
      ),
    ).toEqual(['d-32767']);
    for (let i = 0; i < 2; i++) {
      expect(chosen('serial=s-5')).toEqual(['d-5']);
      expect(chosen('type=esp32 and serial in (s-7, s-59999, s-none)')).toEqual(['d-59999', 'd-7']);
    }
    memory.assign(memory.find('d-5')!, { tags: {} });
    expect(chosen('serial=s-5')).toEqual([]);
  });

  it('are paged from each start, wherever the matches are', () => {
    const memory = new DeviceMemory();
    const nameOf = (i: number) => `d-${String(i).padStart(5, '0')}`;
    const isRare = (i: number) => i === 3 || i === 19_999 || i === 20_000 || i > 44_990;
    // Added in another order than that of their names.
    for (let k = 0; k < 45_000; k++) {
      const i = (k * 7919) % 45_000;
      const groups = isRare(i) ? ['rare'] : [];
      memory.remember({
        name: nameOf(i),
        type: i % 2 === 0 ? 'pi' : 'esp32',
        tags: {},
        groups,
        fingerprint: null,
      } as never);
    }
    const all = Array.from({ length: 45_000 }, (_, i) => i);
    const cases: [string, (i: number) => boolean][] = [
      ['group=rare', isRare],
      ['group=rare and type=pi', (i) => isRare(i) && i % 2 === 0],
      ['group=rare or type=none', isRare],
      ['not (type=pi or type=esp32)', () => false],
      ['all', () => true],
    ];
    for (const [selector, matches] of cases)
      for (const [after, most] of [
        [-1, 2],
        [-1, 4],
        [3, 3],
        [19_999, 1],
        [24_999, 9],
        [44_995, 100],
      ] as const) {
        const expected = all.filter((i) => i > after && matches(i)).slice(0, most);
        const start = after === -1 ? undefined : nameOf(after);
        const { devices } = memory.choose(parseExpression(selector), start, most);
        expect(
          devices.map(({ name }) => name),
          `${selector} after ${after}`,
        ).toEqual(expected.map(nameOf));
      }
  });

  it('suggest a name among many without comparing all of them', () => {
    const memory = new DeviceMemory();
    for (let i = 0; i < 30_000; i++)
      memory.remember({ name: `motor-${String(i).padStart(5, '0')}`, fingerprint: null } as DeviceRecord);
    expect(memory.namesNear('motor-20000x')).toContain('motor-20000');
    expect(memory.namesNear('motor-20000x')).toHaveLength(1000);
    expect(memory.namesNear('zzz')).toContain('motor-29999');
  });
});
