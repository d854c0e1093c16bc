import { afterEach, describe, expect, it } from 'vitest';
import { SimulatedChip } from '../../../src/lib/flash/rom/chip.js';
import { controlChip } from '../../../src/lib/flash/rom/control.js';
import type { Fault } from '../../../src/lib/flash/rom/faults.js';
import { simulatedLine } from '../../../src/lib/flash/rom/serve.js';
import { Host, op, request, syncRequest } from './talk.js';

const chips: SimulatedChip[] = [];
function make(...faults: Fault[]) {
  const chip = new SimulatedChip({ chip: 'esp32', faults });
  chips.push(chip);
  return { chip, host: new Host(chip) };
}
afterEach(() => {
  for (const chip of chips.splice(0)) chip.powerOff();
});
const magic = request(op.readReg, [0x40001000]);

describe('faults', () => {
  it.each<[Fault, number]>([
    [{ kind: 'stuck-sync' }, 0],
    [{ kind: 'stuck-sync', answers: 7 }, 7],
    [{ kind: 'stuck-sync', times: 1 }, 0],
    [{ kind: 'silent' }, 0],
    [{ kind: 'deaf' }, 0],
    [{ kind: 'lost-answer', op: op.sync }, 7],
    [{ kind: 'unplugged', after: 1 }, 8],
  ])('%o determines the number of responses to the first SYNC', async (fault, answers) => {
    const { host } = make(fault);
    expect(await host.ask(syncRequest)).toHaveLength(answers);
  });

  it('affect only the specified command, after the given count and as often as given', async () => {
    const { host } = make({ kind: 'lost-answer', op: op.readReg, after: 1, times: 2 });
    const heard = [];
    for (let time = 0; time < 5; time++) heard.push((await host.ask(magic)).length);
    expect(heard).toEqual([1, 0, 0, 1, 1]);
    expect(await host.ask(syncRequest)).toHaveLength(8);
  });

  it('include noise, which breaks frames at about the given rate, reproducibly', async () => {
    const broken = async () => {
      const { host } = make({ kind: 'noise', rate: 0.01 });
      let lost = 0;
      for (let time = 0; time < 200; time++) {
        const [answer] = await host.ask(magic);
        if (answer?.toString('hex') !== '010a0400831df00000000000') lost++;
      }
      return lost;
    };
    const lost = await broken();
    // With 28 bytes each way, about one in four round trips is affected, and a damaged frame can also affect the next
    // one.
    expect(lost).toBeGreaterThan(30);
    expect(lost).toBeLessThan(110);
    expect(await broken()).toBe(lost);
  });

  it.each<[Fault, RegExp]>([
    [{ kind: 'brownout' }, /rst:0xf \(RTCWDT_BROWN_OUT_RESET\)/],
    [{ kind: 'reset' }, /rst:0x10 \(RTCWDT_RTC_RESET\)/],
    [{ kind: 'panic' }, /Guru Meditation Error: Core 0 panic'ed/],
    [{ kind: 'chatter', text: 'I (12) app: hello\r\n' }, /hello/],
  ])('%o produces text output', async (fault, text) => {
    const { host } = make(fault);
    await host.ask(magic);
    expect(host.text).toMatch(text);
  });

  it('include a crash, which lasts until the chip is reset', async () => {
    const { chip, host } = make({ kind: 'panic' });
    await host.ask(magic);
    expect([chip.state, (await host.ask(magic)).length]).toEqual(['crashed', 0]);
    chip.reset();
    expect(await host.ask(magic)).toHaveLength(1);
  });

  it('include block errors, wrong digests, a missing OHAI and stuck flash', async () => {
    const { chip, host } = make(
      { kind: 'block-error', error: 7 },
      { kind: 'wrong-md5' },
      { kind: 'no-ohai' },
    );
    await host.ask(request(op.flashBegin, [0x400, 1, 0x400, 0]));
    const block = request(op.flashData, [0x400, 0, 0, 0], Buffer.alloc(0x400, 1));
    expect(await host.status(block)).toBe('0107');
    // As in the ROM, the rejected block is counted.
    expect(await host.status(block)).toBe('0105');
    const sum = async () =>
      (await host.ask(request(op.flashMd5, [0, 16, 0, 0])))[0]?.subarray(8, 40).toString();
    expect(await sum()).not.toBe(await sum());
    expect((await host.startStub()).map(String)).not.toContain('OHAI');
    chip.faults.add({ kind: 'stuck-flash' });
    await host.ask(request(op.flashBegin, [0x400, 1, 0x4000, 0]));
    await host.ask(request(op.flashData, [0x400, 0, 0, 0], Buffer.alloc(0x400, 1)));
    expect(await host.status(request(op.flashEnd, [1]))).toBe('0000');
    expect(chip.flash.isBlank(0)).toBe(true);
  });

  it('include a stub block that fails late, which is reported with the next command', async () => {
    const { host } = make({ kind: 'block-error', error: 0xc4 });
    await host.startStub();
    await host.ask(request(op.flashBegin, [0x400, 1, 0x4000, 0]));
    expect(await host.status(request(op.flashData, [0x400, 0, 0, 0], Buffer.alloc(0x400, 1)))).toBe('0000');
    expect(await host.status(request(op.flashEnd, [1]))).toBe('c400');
  });

  it('include an unplugged cable, which ends the line until a new one is opened', async () => {
    const { chip } = make({ kind: 'unplugged' });
    const line = simulatedLine(chip);
    const closed = new Promise<Error | null>((resolve) =>
      line.listen({ data: () => undefined, closed: resolve }),
    );
    await line.write(Buffer.from([0xc0, ...magic, 0xc0]));
    expect(await closed).toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await expect(line.write(Uint8Array.of(1))).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await simulatedLine(chip).close();
    expect(await new Host(chip).ask(magic)).toHaveLength(1);
  });
});

describe('the control channel', () => {
  it('resets, straps, sets DTR and RTS, and arms faults', () => {
    const { chip } = make();
    expect(controlChip(chip, 'state')).toBe('esp32 24:0a:c4:00:01:10 rom 115200 baud, faults: none');
    controlChip(chip, 'boot run');
    expect(controlChip(chip, 'reset')).toContain(' program ');
    expect(controlChip(chip, 'lines rts=1')).toContain(' held ');
    expect(controlChip(chip, 'fault noise rate=0.5 times=3')).toContain('faults: noise');
    expect(chip.faults.list()).toEqual([{ kind: 'noise', rate: 0.5, times: 3 }]);
    expect(controlChip(chip, 'clear noise')).toContain('faults: none');
  });

  it.each([
    '',
    'explode',
    'boot sideways',
    'fault',
    'fault noise',
    'fault block-error',
    'fault reset after=x',
    'fault reset why=1',
    'clear all',
  ])('rejects %o with a usage error', (line) => {
    const { chip } = make();
    expect(() => controlChip(chip, line)).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  });
});
