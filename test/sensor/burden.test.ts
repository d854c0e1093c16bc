import { describe, expect, it } from 'vitest';
import { burdenOf, parseClamp } from '../../src/lib/sensor/burden.js';
import { runCli } from '../support/cli.js';

const clamp = '100A:50mA';
const of = (turns: number | undefined, low: number, high: number, nominalAmperes?: number) =>
  burdenOf({ clamp: parseClamp(clamp, turns), volts: 3.3, range: { low, high }, bits: 12, nominalAmperes });

describe('the burden resistor of a current clamp', () => {
  // Golden values of the guide's circuit and of data sheets, which firmware/test/sensing_test.c also uses.
  it.each([
    { turns: 2200, low: 0, high: 3.3, exact: 25.67, ohms: 24, perVolt: 91.7, peak: 1.54, milliwatts: 50 },
    {
      turns: undefined,
      low: 0,
      high: 3.3,
      exact: 23.33,
      ohms: 22,
      perVolt: 90.9,
      peak: 1.56,
      milliwatts: 55,
    },
    {
      turns: undefined,
      low: 0.15,
      high: 2.45,
      exact: 16.26,
      ohms: 16,
      perVolt: 125,
      peak: 1.13,
      milliwatts: 40,
    },
  ])('matches the data sheets for $turns turns and $low to $high V', ({ turns, low, high, ...golden }) => {
    const burden = of(turns, low, high);
    expect(burden.exactOhms).toBeCloseTo(golden.exact, 2);
    expect(burden.ohms).toBe(golden.ohms);
    expect(burden.amperesPerVolt).toBeCloseTo(golden.perVolt, 1);
    expect(burden.peakVolts).toBeCloseTo(golden.peak, 2);
    expect(burden.watts * 1000).toBeCloseTo(golden.milliwatts, -0.5);
  });

  it('is biased by the guide’s divider for the full range, and by the board’s divider for an ESP32', () => {
    const { bias, capacitor } = of(undefined, 0, 3.3);
    expect(bias).toEqual({ upperOhms: 10_000, lowerOhms: 10_000, volts: 1.65, amperes: 165e-6 });
    expect(capacitor.farads).toBe(10e-6);
    expect(capacitor.cornerHz).toBeCloseTo(3.18, 2);
    const board = of(undefined, 0.15, 2.45);
    expect(board.bias).toMatchObject({ upperOhms: 15_000, lowerOhms: 10_000, volts: 1.32 });
    expect(board.capacitor.cornerHz).toBeCloseTo(2.65, 2);
  });

  it('is larger for a smaller current, but never so large that peaks are clipped', () => {
    expect(of(undefined, 0.15, 2.45, 10).ohms).toBe(160);
    for (let amperes = 1; amperes <= 100; amperes++) {
      const { ohms, exactOhms, fullScaleAmperes, peakVolts } = of(undefined, 0, 3.3, amperes);
      expect(ohms).toBeLessThanOrEqual(exactOhms * (1 + 1e-9));
      expect(ohms).toBeGreaterThan(exactOhms / 1.2);
      expect(fullScaleAmperes).toBeGreaterThanOrEqual(amperes * (1 - 1e-9));
      expect(peakVolts).toBeLessThanOrEqual(1.65 * (1 + 1e-9));
    }
  });

  it('is a standard value itself if the exact result is one', () => {
    // Exactly 33 Ω: (3.3 / 2) · 1000 / (√2 · 35.355…).
    const exact = burdenOf({
      clamp: { amperes: 50, secondaryAmperes: 0.05, turns: 1000 },
      nominalAmperes: 50 / Math.SQRT2,
      ...{ volts: 3.3, bits: 10 },
    });
    expect(exact.ohms).toBe(33);
    expect(exact.amperesPerCount).toBeCloseTo(((3.3 / 1023) * 1000) / 33, 9);
  });
});

describe('aiot tools burden-resistor', () => {
  it('prints a complete circuit', async () => {
    const { stdout, code } = await runCli(['tools', 'burden-resistor', '--range', '0.15-2.45', '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toBe(`Clamp        100 A : 50 mA, 2000 turns
Burden       16.26 Ω is the exact value; use 16 Ω (E24), which dissipates 40 mW at 100 A
Full scale   102 A RMS: peaks then reach 0.15 and 2.45 V
Peaks        ±1.13 V at 100 A RMS
Calibration  125 A per V
One count    101 mA (12 bits of 3.3 V)
Bias         15 kΩ to 3.3 V, 10 kΩ to ground: 1.32 V, 132 µA
Capacitor    10 µF from the bias to ground: stabilizes it above 2.7 Hz

In aiot.yaml: firmware: { clamp: { turns: 2000, burden: 16 } }

Next: aiot firmware build --target esp32
`);
  });

  it('prints the same results as JSON', async () => {
    const { json } = await runCli([
      'tools',
      'burden-resistor',
      '--clamp',
      clamp,
      '--nominal',
      '30A',
      '--json',
    ]);
    expect(json).toMatchObject({ clamp: { turns: 2000 }, nominalAmperes: 30, ohms: 75 });
  });

  it.each([
    [['--clamp', '30A:1V'], 'AIOT_CLAMP_UNFIT', 'a built-in burden resistor'],
    [['--clamp', '30A:0V'], 'AIOT_CLAMP_UNFIT', 'a built-in burden resistor'],
    [['--clamp', '20A:25mA', '--nominal', '30A'], 'AIOT_CLAMP_UNFIT', 'saturates'],
    [['--nominal', '0.0001A'], 'AIOT_CLAMP_UNFIT', 'no standard resistor has a value near'],
    [['--clamp', '100A'], 'AIOT_USAGE', 'two currents'],
    [['--clamp', '50mA:100A'], 'AIOT_USAGE', 'two currents'],
    [['--clamp', '1A:2A'], 'AIOT_USAGE', 'two currents'],
    [['--nominal', '0A'], 'AIOT_USAGE', 'more than 0 A'],
    [['--nominal', '30'], 'AIOT_USAGE', 'such as 30A'],
    [['--turns', '0'], 'AIOT_USAGE', '--turns'],
    [['--volts', '0'], 'AIOT_USAGE', '--volts'],
    [['--range', '2-1'], 'AIOT_USAGE', '--range'],
    [['--range', '0-5'], 'AIOT_USAGE', '--range'],
    [['--adc-bits', '40'], 'AIOT_USAGE', '--adc-bits'],
  ])('rejects %j', async (args, code, said) => {
    const { stdout, stderr, code: exit } = await runCli(['tools', 'burden-resistor', ...args, '--json']);
    expect({ exit, out: `${stdout}${stderr}` }).toEqual({ exit: 2, out: expect.stringContaining(code) });
    expect(`${stdout}${stderr}`).toContain(said);
  });
});
