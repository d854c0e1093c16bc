import { describe, expect, it } from 'vitest';
import {
  changedSettings,
  compileSettings,
  type DesiredSettings,
  inverseChange,
  pathsOf,
  settingsDrift,
} from '../../src/lib/fleet/settings.js';
import { fc } from '../support/property.js';

const schema = {
  type: 'object',
  properties: {
    rpm: { type: 'integer', minimum: 0, maximum: 3000, default: 900 },
    report: {
      type: 'object',
      properties: { everyS: { type: 'integer', default: 60 }, fields: { type: 'array', default: ['rpm'] } },
      additionalProperties: false,
    },
    site: { type: 'string' },
  },
  required: ['rpm'],
  additionalProperties: false,
};

describe('settings', () => {
  it('are the defaults, overridden by groups in the order of their priority, and by the device', async () => {
    const { resolve } = await compileSettings(schema);
    const lab = { from: 'group lab', priority: 1, values: { rpm: 600, report: { everyS: 10 } } };
    const night = { from: 'group night', priority: 2, values: { report: { everyS: 300, fields: ['t'] } } };
    const own = { from: 'pump-7', priority: 9, values: { site: 'hall 3' } };
    expect(resolve([own, night, lab])).toMatchObject({
      values: { rpm: 600, report: { everyS: 300, fields: ['t'] }, site: 'hall 3' },
      origins: {
        ...{ rpm: 'group lab', 'report.everyS': 'group night', 'report.fields': 'group night' },
        site: 'pump-7',
      },
    });
    expect(resolve([])).toMatchObject({
      values: { rpm: 900, report: { everyS: 60, fields: ['rpm'] } },
      origins: { rpm: 'default', 'report.everyS': 'default', 'report.fields': 'default' },
    });
  });

  it.each([
    [{ rpm: 9000 }, '.rpm: must be <= 3000, got 9000', 'rpm'],
    [{ report: 5 }, '.report: must be object, got 5', 'report'],
    [{ report: { everyS: 'x' } }, '.report.everyS: must be integer, got "x"', 'report.everyS'],
    [{ site: 'x'.repeat(2100) }, ': expected at most 2048 bytes, got 2161', ''],
    [{ speed: 1 }, ': must NOT have additional properties: speed', 'speed'],
    [
      JSON.parse('{"__proto__": {"rpm": 1}}'),
      ': must NOT have additional properties: __proto__',
      '__proto__',
    ],
  ])('that break the schema are a problem: %j', async (values, text, path) => {
    const { resolve } = await compileSettings(schema);
    expect(resolve([{ from: 'pump-7', priority: 0, values }])).toEqual({ problem: { text, path } });
  });

  it('whose defaults break the schema are an error', async () => {
    const wrong = { ...schema, required: ['rpm', 'site'] };
    await expect(compileSettings(wrong)).rejects.toThrow(
      "the defaults are invalid: must have required property 'site'",
    );
    await expect(compileSettings({ type: 'objekt' })).rejects.toThrow(/type/);
  });

  it('have the same digest in any order of layers and members', async () => {
    const { resolve } = await compileSettings({ type: 'object' });
    const name = fc.constantFrom('a', 'b', 'c');
    const plain = fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.array(fc.boolean()));
    const values = fc.dictionary(name, fc.oneof(plain, fc.dictionary(name, plain)));
    const layers = fc.uniqueArray(fc.record({ from: fc.string(), priority: fc.nat(3), values }), {
      selector: ({ from }) => from,
      maxLength: 4,
    });
    fc.assert(
      fc.property(layers, (some) => {
        const back = some.map((layer) => ({
          ...layer,
          values: Object.fromEntries(Object.entries(layer.values).reverse()),
        }));
        const [one, other] = [resolve(some), resolve(back.reverse())] as DesiredSettings[];
        expect(other?.digest).toBe(one?.digest);
        expect(other?.origins).toEqual(one?.origins);
      }),
    );
  });
});

describe('a change of overrides', () => {
  it('merges objects, replaces lists, and removes values with the objects that become empty', () => {
    const before = { rpm: 600, report: { everyS: 10 }, fields: ['a', 'b'] };
    expect(changedSettings(before, { set: { report: { top: 5 }, fields: ['c'] }, unset: ['rpm'] })).toEqual({
      ...{ report: { everyS: 10, top: 5 }, fields: ['c'] },
    });
    expect(changedSettings(before, { unset: ['report.everyS', 'none', 'rpm.x'] })).toEqual({
      ...{ rpm: 600, fields: ['a', 'b'] },
    });
    expect(before).toEqual({ rpm: 600, report: { everyS: 10 }, fields: ['a', 'b'] });
  });
});

describe('the drift of settings', () => {
  const desired = { values: { rpm: 900, report: { everyS: 60 } }, digest: 'd1' };
  const late = 60_000;

  it('lists the differing values of a device that runs other settings', () => {
    const reported = { digest: 'd0', values: { rpm: 600, report: { everyS: 60 }, old: true } };
    expect(settingsDrift(desired, reported, late)).toEqual({
      state: 'drifted',
      differences: [
        { path: 'old', desired: undefined, reported: true },
        { path: 'rpm', desired: 900, reported: 600 },
      ],
    });
  });

  const error = { code: 'AIOT_SETTINGS_REJECTED', message: 'no motor' };
  it.each([
    ['same', { digest: 'd1' }, late],
    ['same', { digest: 'd1', values: desired.values }, null],
    ['drifted', { digest: 'd1', values: { rpm: 600 } }, late],
    ['unsupported', null, late],
    ['pending', null, null],
    ['pending', { digest: 'd0' }, null],
    ['pending', { digest: null }, 5],
    ['drifted', { digest: null }, late],
    ['rejected', { digest: 'd0', error: { ...error, digest: 'd1' } }, late],
    ['pending', { digest: 'd0', error: { ...error, digest: 'd2' } }, 5],
  ] as const)('is %s for %j', (state, reported, sentFor) => {
    expect(settingsDrift(desired, reported, sentFor).state).toBe(state);
  });
});

describe('the inverse of a change', () => {
  it('names the settings that the change sets or removes', () => {
    const change = { set: { rpm: 1, report: { everyS: 5, fields: ['a'] } }, unset: ['site'] };
    expect(pathsOf(change)).toEqual(['rpm', 'report.everyS', 'report.fields', 'site']);
    expect(inverseChange({ rpm: 600, site: 'x', report: { fields: ['b'] } }, change)).toEqual({
      ...{ set: { rpm: 600, site: 'x', report: { fields: ['b'] } }, unset: ['report.everyS'] },
    });
  });

  it('restores the former values, whatever they were', () => {
    const report = fc
      .record({ everyS: fc.integer(), fields: fc.array(fc.string()) }, { requiredKeys: [] })
      .filter((values) => Object.keys(values).length > 0);
    const values = fc.record({ rpm: fc.integer(), report, site: fc.string() }, { requiredKeys: [] });
    const unset = fc.subarray(['rpm', 'report.everyS', 'report.fields', 'site']);
    fc.assert(
      fc.property(values, values, unset, (before, set, unset) => {
        const change = { set, unset };
        const after = changedSettings(before, change);
        expect(changedSettings(after, inverseChange(before, change))).toEqual(before);
      }),
    );
  });
});
