import { describe, expect, it } from 'vitest';
import { conversionOf } from '../../../src/lib/data/units.js';
import { parseAddress } from '../../../src/lib/loop/sense/address.js';
import { mapFields } from '../../../src/lib/loop/sense/fields.js';

const imu = [
  ...['ax', 'ay', 'az'].map((name) => ({ name, unit: 'g' })),
  ...['gx', 'gy', 'gz'].map((name) => ({ name, unit: 'dps' })),
  ...['mx', 'my', 'mz'].map((name) => ({ name, unit: 'gauss' })),
];
const weather = [
  { name: 'temperature', unit: 'degC' },
  { name: 'pressure', unit: 'Pa' },
  { name: 'humidity', unit: '%' },
];

function map(has: { name: string; unit: string }[], wants: [name: string, unit: string][], query = '') {
  const contract = wants.map(([name, unit]) => ({ name, unit }));
  const { fields } = parseAddress(`i2c://1/chip${query}`);
  return mapFields(has, contract, fields, 'i2c:1/chip').map(({ from, scale, offset }) => [
    has[from]!.name,
    ...(scale === 1 && offset === 0 ? [] : [scale, offset]),
  ]);
}

describe('sensor fields mapped to project fields', () => {
  it.each<[string, [string, string][], string, unknown[]]>([
    [
      'by name, in the project’s order',
      [
        ['az', 'g'],
        ['ax', 'g'],
      ],
      '',
      [['az'], ['ax']],
    ],
    [
      'bare axes by their unit',
      [
        ['x', 'g'],
        ['y', 'g'],
        ['z', 'g'],
      ],
      '',
      [['ax'], ['ay'], ['az']],
    ],
    [
      'bare axes of a gyroscope',
      [
        ['x', 'dps'],
        ['y', 'deg/s'],
      ],
      '',
      [['gx'], ['gy']],
    ],
    ['bare axes of a magnetometer, converted', [['z', 'uT']], '', [['mz', 100, 0]]],
    [
      'in common spellings',
      [
        ['acc_x', 'g'],
        ['GyroY', 'dps'],
        ['mag.z', 'gauss'],
      ],
      '',
      [['ax'], ['gy'], ['mz']],
    ],
    [
      'by ?map=, axes exchanged',
      [
        ['x', 'g'],
        ['y', 'g'],
      ],
      '?map=x:ay,y:ax',
      [['ay'], ['ax']],
    ],
    ['in the project’s unit', [['x', 'm/s²']], '', [['ax', 9.80665, 0]]],
    ['in a unit that the address corrects', [['x', 'g']], '?units=ax:m/s2', [['ax', 1 / 9.80665, 0]]],
    ['in a unit for all', [['x', 'g']], '?units=mg', [['ax', 0.001, 0]]],
    ['without a unit in the project', [['ax', '']], '', [['ax']]],
  ])('%s', (_, wants, query, expected) => {
    expect(map(imu, wants, query)).toEqual(expected);
  });

  it('match a single field to the only expected one', () => {
    expect(map([{ name: 'sound', unit: 'dB' }], [['level', 'dB']])).toEqual([['sound']]);
  });

  it.each<[string, typeof imu, [string, string][], string, string]>([
    [
      'a sensor of another kind',
      weather,
      [['x', 'g']],
      '',
      'i2c:1/chip: expected x (g), got temperature (degC), pressure (Pa), humidity (%)',
    ],
    [
      'a unit of another quantity',
      weather,
      [['temperature', 'g']],
      '',
      'i2c:1/chip: expected temperature in g, got temperature in degC, which cannot be converted',
    ],
    [
      'an unknown unit',
      weather,
      [['pressure', 'furlong']],
      '',
      'i2c:1/chip: expected pressure in furlong, got pressure in Pa, which cannot be converted',
    ],
    [
      'a missing field',
      imu,
      [['x', 'g']],
      '?map=x:aw',
      'i2c:1/chip: expected x (g) as aw (?map=), got ax (g), ',
    ],
    [
      'one field for two',
      imu,
      [
        ['x', 'g'],
        ['y', 'g'],
      ],
      '?map=x:ax,y:ax',
      'i2c:1/chip: ax is mapped to both x and y',
    ],
    [
      'a name the project does not have',
      imu,
      [['x', 'g']],
      '?map=q:ax',
      "i2c:1/chip: ?map= names q, but the project's fields are x",
    ],
  ])('reject %s, naming both sides', (_, has, wants, query, message) => {
    let refused: unknown;
    try {
      map(has, wants, query);
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({ code: 'AIOT_SENSOR_UNFIT', exit: 2 });
    expect((refused as Error).message.startsWith(message)).toBe(true);
  });
});

describe('units', () => {
  it.each([
    ['m/s2', 'g', 9.80665, 1],
    ['m/s^2', 'mg', 9.80665, 1000],
    ['rad/s', 'dps', Math.PI, 180],
    ['°/s', 'rad/s', 180, Math.PI],
    ['µT', 'gauss', 50, 0.5],
    ['nT', 'µT', 1000, 1],
    ['hPa', 'Pa', 1013.25, 101_325],
    ['K', '°C', 293.15, 20],
    ['degF', 'degC', 212, 100],
    ['degC', 'degF', 37, 98.6],
    ['m/s', 'mm/s', 0.001, 1],
    ['mA', 'A', 820, 0.82],
  ])('convert %s to %s', (from, to, given, expected) => {
    const conversion = conversionOf(from, to)!;
    expect(given * conversion.scale + conversion.offset).toBeCloseTo(expected, 9);
  });

  it('distinguish gravity (g) from gauss (G), and do not convert between quantities', () => {
    expect(conversionOf('G', 'gauss')).toEqual({ scale: 1, offset: 0 });
    expect(conversionOf('G', 'g')).toBeNull();
    expect(conversionOf('dB', '%')).toBeNull();
    expect(conversionOf('points', 'points')).toEqual({ scale: 1, offset: 0 });
  });
});

describe('a sensor address', () => {
  it('keeps the loop’s own settings, and passes the rest to the driver unchanged', () => {
    expect(parseAddress('i2c://1/lsm6ds3tr-c?rate=104&map=x:ay,y:ax&range=4&bridge=0')).toMatchObject({
      scheme: 'i2c',
      url: 'i2c://1/lsm6ds3tr-c?rate=104&range=4',
      fields: { map: { x: 'ay', y: 'ax' } },
      bridge: 0,
      rateHz: undefined,
    });
    expect(parseAddress('mqtt://h/a/%23?qos=1&time=ts:us&seq=n&rate=50&resample=off')).toMatchObject({
      url: 'mqtt://h/a/%23?qos=1',
      time: 'ts:us',
      seq: 'n',
      rateHz: 50,
      resample: 'off',
    });
    expect(parseAddress('http://0.0.0.0:8000/s?theirs=1#limit=1MB&map=x:ax').url).toBe(
      'http://0.0.0.0:8000/s?theirs=1#limit=1MB',
    );
    expect(parseAddress('file:x.csv?rate=100&speed=max&repeat=forever')).toMatchObject({
      url: 'file:x.csv',
      rateHz: 100,
      speed: 'max',
      repeat: Number.POSITIVE_INFINITY,
    });
  });

  it.each([
    ['recording.csv', 'expected a URL such as i2c://1/lsm6ds3tr-c, got "recording.csv"'],
    ['file:x.csv?speed=fast', 'speed'],
    ['file:x.csv?rate=0', 'expected more than 0'],
    ['file:x.csv?map=x', 'expected FIELD:NAME, got "x"'],
    ['mqtt://h/t?speed=2', 'mqtt: ?speed= only applies to replayed files'],
    ['mqtt://h/t?bridge=-1', 'expected a number of samples'],
    ['mqtt://h/t?map=%zz', 'a % after the ? is not followed by two hex digits'],
  ])('is rejected if it is %s', (url, message) => {
    expect(() => parseAddress(url)).toThrowError(expect.objectContaining({ code: 'AIOT_SENSOR_URL' }));
    expect(() => parseAddress(url)).toThrowError(message);
  });

  it('never exposes its password in an error', () => {
    expect(() => parseAddress('//user:secret@host')).toThrowError(/^(?!.*secret)/);
  });
});
