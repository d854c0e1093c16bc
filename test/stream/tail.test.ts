import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silenceNote, tailNotes } from '../../src/lib/cli/live/stream-tail.js';
import { streamStatisticsSchema } from '../../src/lib/stream/tail/statistics.js';
import { tail as followed } from '../../src/lib/stream/tail/tail.js';
import { runCli } from '../support/cli.js';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-tail-'));
  file = await recording('plant', [
    { topic: 'plant/1', time: 1000, payload: { id: 'a', temperature: 21.5, motor: { current: 1 } } },
    { topic: 'plant/2', time: 2000, payload: { id: 'b', temperature: 90, motor: { current: 3 } } },
    { topic: 'plant/2', time: 3000, payload: 'stopped, "maybe"', encoding: 'utf8' },
    { topic: 'plant/1', time: 4000, payload: { id: 'a', temperature: 'hot' } },
  ]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function recording(name: string, lines: object[]): Promise<string> {
  const path = join(folder, `${name}.ndjson`);
  await writeFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return `file:${path}`;
}

const tail = (...flags: string[]) => runCli(['stream', 'tail', file, ...flags]);

describe('stream tail', () => {
  it.each([
    [
      'all payloads unchanged',
      [],
      '{"id":"a","temperature":21.5,"motor":{"current":1}}\n{"id":"b","temperature":90,"motor":{"current":3}}\nstopped, "maybe"\n{"id":"a","temperature":"hot"}\n',
    ],
    [
      'messages that match --where',
      ['--where', 'temperature > 80'],
      '{"id":"b","temperature":90,"motor":{"current":3}}\n',
    ],
    ['messages of one topic', ['--where', "$topic = 'plant/2'", '--map', '$time'], '2000\n3000\n'],
    [
      'the result of --map',
      ['--map', '{"t": temperature, "c": motor.current * 1000}', '-n', '2'],
      '{"t":21.5,"c":1000}\n{"t":90,"c":3000}\n',
    ],
    ['a string result of --map as text', ['--map', "id & '@' & $topic", '-n', '1'], 'a@plant/1\n'],
    ['nothing if --map has no result', ['--map', 'motor.current'], '1\n3\n'],
    [
      'the result of a library function',
      ['--map', '$keys($).$uppercase($)', '-n', '1'],
      '["ID","TEMPERATURE","MOTOR"]\n',
    ],
    ['the selected fields', ['--fields', 'id,motor.current', '-n', '1'], '{"id":"a","motor.current":1}\n'],
  ])('prints %s', async (_, flags, expected) => {
    const { stdout, code } = await tail('--format', 'raw', ...flags);
    expect(stdout).toBe(expected);
    expect(code).toBe(0);
  });

  it('prints CSV with the requested columns, quoted if needed', async () => {
    const { stdout } = await tail('--format', 'csv', '--fields', 'id,temperature');
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      'time,topic,id,temperature',
      '1970-01-01T00:00:01.000Z,plant/1,a,21.5',
      '1970-01-01T00:00:02.000Z,plant/2,b,90',
    ]);
    expect((await tail('--format', 'csv', '--map', '$', '--where', '$time = 3000')).stdout).toBe(
      'time,topic,payload\n1970-01-01T00:00:03.000Z,plant/2,"stopped, ""maybe"""\n',
    );
  });

  it('fills a template', async () => {
    const template = '{{$topic}}\\t{{temperature}} {{ {"a": {"b": id}} }} }}';
    const { stdout } = await tail('--format', 'template', '--template', template, '-n', '1');
    expect(stdout).toBe('plant/1\t21.5 {"a":{"b":"a"}} }}\n');
  });

  it('prints JSON lines with the transformed payload', async () => {
    const { stdout } = await tail('--json', '--fields', 'id', '-n', '1');
    expect(JSON.parse(stdout)).toEqual({
      topic: 'plant/1',
      time: 1000,
      payload: { id: 'a' },
      encoding: 'json',
    });
  });

  it('reports how many messages made an expression fail, and why, and continues', async () => {
    const { stderr, stdout, code } = await tail('--where', 'temperature > 80', '--format', 'raw');
    expect([code, stdout.split('\n').length]).toEqual([0, 2]);
    expect(stderr).toMatch(/! 1 message left out: temperature > 80: .*"hot"/);
  });

  it('names $max and others for messages with several samples', () => {
    const first =
      'x > 7: The expressions either side of operator ">" must evaluate to numeric or string values';
    const end = { seen: 2, checked: 0, messages: 0, dropped: 0, failed: 2, first, ended: 'done' as const };
    const { cautions } = tailNotes(
      { ...end, missing: [], missingTexts: [] } as unknown as Parameters<typeof tailNotes>[0],
      { where: 'x > 7', never: undefined },
    );
    expect(cautions).toEqual([
      `2 messages left out: ${first}. If messages contain several samples of a field, compare $max(FIELD), $min(FIELD) or $average(FIELD)`,
    ]);
  });

  it('prints statistics by topic and field', async () => {
    const { json } = await tail('--stats', '--json');
    const { topics, messages } = streamStatisticsSchema.parse(json);
    expect(messages).toBe(4);
    expect(topics.map(({ topic, messages: each, fields }) => [topic, each, fields.temperature])).toEqual([
      ['plant/1', 2, { count: 1, least: 21.5, mean: 21.5, most: 21.5 }],
      ['plant/2', 2, { count: 1, least: 90, mean: 90, most: 90 }],
    ]);
    expect((await tail('--stats')).stdout).toMatch(
      /^4 messages in .*\n\ntopic +count +per second +min +mean +max\n/,
    );
  });

  it('plots fields', async () => {
    const { stdout } = await tail('--plot', 'temperature,motor.current');
    expect(stdout).toMatch(/temperature +90 +21.5 … 90\n[\s\S]*motor.current +3 +1 … 3/);
  });

  it('merges several sources by time', async () => {
    const other = await recording(
      'other',
      [500, 2500, 3500].map((time) => ({ topic: 'o', time, payload: 1 })),
    );
    const { stdout } = await runCli(['stream', 'tail', file, other, '--map', '$time', '--format', 'raw']);
    expect(stdout.trim().split('\n').map(Number)).toEqual([500, 1000, 2000, 2500, 3000, 3500, 4000]);
  });

  it.each([
    [['--where', 'temperature >'], 'AIOT_STREAM_EXPRESSION'],
    [['--expect', '('], 'AIOT_STREAM_EXPRESSION'],
    [['--expect', 'a', '--never', 'b'], 'AIOT_USAGE'],
    [['--within', '3s'], 'AIOT_USAGE'],
    [['--map', 'a', '--fields', 'b'], 'AIOT_USAGE'],
    [['--fields', 'a..b'], 'AIOT_USAGE'],
    [['--fields', '$nothing'], 'AIOT_USAGE'],
    [['--rate', '--stats'], 'AIOT_USAGE'],
    [['--plot', 'a', '--stats'], 'AIOT_USAGE'],
    [['--template', 'x'], 'AIOT_USAGE'],
    [['--format', 'template'], 'AIOT_USAGE'],
    [['--decode', 'protobuf'], 'AIOT_USAGE'],
    [['--schema', 'x.proto'], 'AIOT_USAGE'],
    [['--from', 'yesterday'], 'AIOT_USAGE'],
    [['--since', '5'], 'AIOT_USAGE'],
  ])('rejects %j with %s', async (flags, code) => {
    const result = await tail(...flags, '--json');
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(2);
  });
});

describe('stream tail as a check', () => {
  it('exits with 0 on the expected message, and prints only that message', async () => {
    const { code, stdout } = await tail('--expect', 'temperature > 80', '--within', '5s', '--format', 'raw');
    expect(code).toBe(0);
    expect(stdout).toBe('{"id":"b","temperature":90,"motor":{"current":3}}\n');
  });

  it('exits with 6 if the expected message does not arrive, and prints the last message', async () => {
    const { code, stdout, stderr } = await tail('--expect', 'temperature > 100', '--format', 'raw');
    expect(code).toBe(6);
    expect(stdout).toBe('{"id":"a","temperature":"hot"}\n');
    expect(stderr).toMatch(
      /AIOT_STREAM_EXPECTED: expected a message with temperature > 100, got none of 4 messages/,
    );
  });

  it('exits with 6 on a --never match and prints it, and with 0 if there is none', async () => {
    const { code, stdout, stderr } = await tail('--never', 'temperature > 80', '--format', 'raw');
    expect(code).toBe(6);
    expect(stdout).toBe('{"id":"b","temperature":90,"motor":{"current":3}}\n');
    expect(stderr).toContain('AIOT_STREAM_NEVER');
    const none = await tail('--never', 'temperature = 1', '--for', '5s');
    expect(none.code).toBe(0);
    expect(none.stderr).toMatch(/^\d+ messages checked, none matched temperature = 1$/m);
    expect(none.stderr).not.toContain('checked nothing');
    expect(none.stderr).not.toContain('occurred in none');
  });

  it.each([
    ['--never', 'temprature > 80', 'temprature'],
    ['--where', 'id = spin', 'spin'],
    ['--where', '$exists(motor.curent)', 'motor.curent'],
    ['--fields', 'id,latency', 'latency'],
  ])('reports a field of %s %s that occurred in no message', async (flag, text, field) => {
    const sentence = `${flag} reads the field ${field}, which occurred in none of 4 messages`;
    const { code, stderr } = await tail(flag, text);
    expect(code).toBe(0);
    expect(stderr).toContain(sentence);
    expect((await tail(flag, text, '--format', 'raw')).stderr).toContain(sentence);
    const { stdout } = await tail(flag, text, '--json');
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      seen: 4,
      missingFields: [{ field, flag: flag.slice(2) }],
    });
  });

  it('reports such a field once while it follows the stream', async () => {
    const many = Array.from({ length: 25 }, (_, i) => ({
      topic: 't',
      time: 1000 + i,
      payload: { temperature: i },
    }));
    const url = await recording('many', many);
    const notices: string[] = [];
    const follow = (where: string) =>
      followed({ urls: [url], where, onNotice: (notice) => notices.push(notice) }, { show: () => {} });
    await follow('temprature > 80');
    expect(notices).toEqual([
      expect.stringMatching(/^--where reads the field temprature, which occurred in none of \d+ messages$/),
    ]);
    await follow('temperature > 80');
    expect(notices).toHaveLength(1);
  });

  it('does not mention quotes for a field of --fields', async () => {
    expect((await tail('--fields', 'id,latency')).stderr).toMatch(/Check its name\.?$/m);
  });

  it('names the texts that a field had if none matched', async () => {
    const sentence = '--where expects id = "c", but in 4 messages id was "a" or "b"';
    expect((await tail('--where', 'id = "c" and temperature > 1')).stderr).toContain(`! ${sentence}`);
    expect((await tail('--where', 'id = "c"', '--format', 'raw')).stderr).toContain(sentence);
    const { stderr } = await tail('--expect', 'id = "c"');
    expect(stderr).toContain('--expect expects id = "c", but in 4 messages id was "a" or "b"');
    for (const where of ['id = "b"', 'id = "c" or id = "a"', 'temperature = 5'])
      expect((await tail('--where', where)).stderr).not.toContain('expects');
    expect((await tail('--never', 'id = "c"')).stderr).not.toContain('expects');
  });

  it('shortens signatures and samples for people, but not in other formats', async () => {
    const [key, proof] = ['k'.repeat(80), `${'AbC/9'.repeat(300)}==`];
    const text = 'two words '.repeat(20);
    const samples = Array.from({ length: 200 }, (_, i) => i / 8);
    const payload = { text, key, proof, samples, few: samples.slice(0, 20) };
    const signed = await recording('signed', [{ topic: 'state', time: 1000, payload }]);
    const { stdout } = await runCli(['stream', 'tail', signed, '--no-color']);
    expect(stdout).toContain(
      `{"text":"${text}","key":"${key}","proof":"AbC/9AbC/9AbC/9AbC/9AbC/…","samples":[0,0.125,0.25,0.375,0.5,… 200 numbers],"few":${JSON.stringify(payload.few)}}`,
    );
    for (const flags of [['--json'], ['--format', 'raw']])
      expect((await runCli(['stream', 'tail', signed, ...flags])).stdout).toContain(proof);
  });

  it('names the missing field if an expected message does not arrive', async () => {
    const { code, stderr } = await tail('--expect', 'temprature > 80');
    expect(code).toBe(6);
    expect(stderr).toContain('--expect reads the field temprature, which occurred in none of 4 messages');
  });

  it('counts the messages that matched --where', async () => {
    const { stderr } = await tail('--where', 'temperature > 80');
    expect(stderr).toMatch(/^1 of 4 messages matched$/m);
    expect(stderr).not.toContain('occurred in none');
  });

  it('counts only messages that matched --where as checked by --never or --expect', async () => {
    const none = await tail('--where', 'temperature > 80', '--never', 'temperature = 1');
    expect(none.stderr).toMatch(/^1 of 4 messages checked, none matched temperature = 1$/m);
    const { stdout } = await tail('--where', 'temperature > 80', '--never', 'temperature = 1', '--json');
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      seen: 4,
      checked: 1,
      matched: 0,
    });
    const nothing = await tail('--where', 'temperature > 800', '--never', 'temperature = 1');
    expect(nothing.stderr).toMatch(/^0 of 4 messages checked, none matched/m);
    expect(nothing.stderr).toContain('no message matched --where, so --never checked nothing');
    const { stderr } = await tail('--where', 'temperature > 80', '--expect', 'temperature = 1');
    expect(stderr).toContain('got none of 1 message before the stream ended');
  });

  it('does not report fields of other contexts or of variables', async () => {
    const { stderr } = await tail('--where', "$topic = 'x' or motor[current = 9].current = 9");
    expect(stderr).toMatch(/^0 of 4 messages matched$/m);
    expect(stderr).not.toContain('occurred in none');
  });
});

describe('stream record and replay', () => {
  it('preserve messages byte for byte, and can rename topics', async () => {
    const odd = await recording('odd', [
      {
        topic: 'a',
        time: 1,
        payload: '{"x": 1.0}',
        encoding: 'utf8',
        key: 'k',
        headers: [
          ['h', 'v'],
          ['h', '/w==', 'base64'],
        ],
      },
      { topic: 'b', time: 2, payload: '/wA=', encoding: 'base64' },
      { topic: 'c', time: 3, payload: { y: 2 }, encoding: 'json' },
    ]);
    const out = join(folder, 'again.ndjson.gz');
    const recorded = await runCli(['stream', 'record', odd, '--out', out, '--json']);
    expect(recorded.json).toEqual({
      ...{ file: out, messages: 3, seen: 3, missingFields: [], dropped: 0, first: 1, last: 3 },
    });
    const to = join(folder, 'replayed.ndjson');
    const replayed = await runCli([
      'stream',
      'replay',
      out,
      '--to',
      `file:${to}`,
      '--speed',
      'max',
      '--keep-time',
      '--topic',
      '"copy/" & $topic',
      '--json',
    ]);
    expect(replayed.json).toMatchObject({ messages: 3 });
    const lines = (text: string) =>
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    const wanted = lines(await readFile(odd.replace('file:', ''), 'utf8'));
    expect(lines(await readFile(to, 'utf8'))).toEqual(
      wanted.map((line) => ({ ...line, topic: `copy/${line.topic}` })),
    );
  });

  it('warn about a field of --where that occurred in no message', async () => {
    const args = [
      'stream',
      'record',
      file,
      '--out',
      join(folder, 'none.ndjson'),
      '--where',
      'temprature > 80',
    ];
    const { code, stderr } = await runCli(args);
    expect(code).toBe(0);
    expect(stderr).toContain('--where reads the field temprature, which occurred in none of 4 messages');
    const { json } = await runCli([...args, '--json']);
    const missingFields = [{ field: 'temprature', flag: 'where' }];
    expect(json).toMatchObject({ messages: 0, seen: 4, missingFields });
  });

  it('replay in the original time, divided by --speed', async () => {
    const paced = await recording(
      'paced',
      [0, 300, 600].map((time) => ({ topic: 't', time: time + 1000, payload: time })),
    );
    const path = paced.replace('file:', '');
    const { json } = await runCli([
      'stream',
      'replay',
      path,
      '--to',
      `file:${join(folder, 'p.ndjson')}`,
      '--speed',
      '2',
      '--json',
    ]);
    const { seconds } = json as { seconds: number };
    expect(seconds).toBeGreaterThan(0.29);
    expect(seconds).toBeLessThan(2);
  });

  it.each([
    [['record', 'file:FOLDER/plant.ndjson'], 2, 'AIOT_USAGE'],
    [['record', 'file:/no/such', '--out', 'FOLDER/x.ndjson'], 4, 'AIOT_FILE_NOT_FOUND'],
    [['replay', '/no/such', '--to', 'file:FOLDER/y'], 4, 'AIOT_FILE_NOT_FOUND'],
    [['replay', 'FOLDER/plant.ndjson', '--to', 'ftp://x'], 2, 'AIOT_STREAM_SCHEME'],
    [['replay', 'FOLDER/plant.ndjson', '--to', 'file:FOLDER/y', '--speed', 'fast'], 2, 'AIOT_USAGE'],
    [
      ['replay', 'FOLDER/plant.ndjson', '--to', 'file:FOLDER/y', '--topic', '$time', '--speed', 'max'],
      1,
      'AIOT_STREAM_EVALUATION',
    ],
  ])('%j exits with %i and %s, and closes its files', async (args, exit, code) => {
    const result = await runCli(['stream', ...args.map((arg) => arg.replace('FOLDER', folder)), '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
    await expect.poll(openFiles).toEqual([]);
  });

  /** Returns the open files in this test's folder, on systems that list them. */
  function openFiles(): string[] {
    const handles = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd') : [];
    const open = handles.flatMap((fd) => {
      try {
        return [readlinkSync(join('/proc/self/fd', fd))];
      } catch {
        return [];
      }
    });
    return open.filter((path) => path.startsWith(folder));
  }
});

describe('ten seconds without a message', () => {
  it.each([
    ['mqtt://me:secret@127.0.0.1:1883/plant?qos=1', 'aiot stream list "mqtt://127.0.0.1:1883/#"'],
    ['aiot:///aiot/v1/+/telemetry/pump', 'aiot stream list "aiot:///#"'],
    ['nats://127.0.0.1/plant.a', 'aiot stream list "nats://127.0.0.1/>"'],
    ['kafka://127.0.0.1/readings', 'aiot stream list kafka://127.0.0.1'],
  ])('are reported once for %s, with the command that lists the topics', (address, command) => {
    const notes: string[] = [];
    const silence = silenceNote(address, (text) => notes.push(text));
    for (let i = 0; i < 9; i++) silence({ seen: 0, dropped: 0 });
    expect(notes).toEqual([]);
    for (let i = 0; i < 20; i++) silence({ seen: 0, dropped: 0 });
    expect(notes).toEqual([
      `No message has arrived in 10 seconds. To list the topics with messages, run \`${command}\`.`,
    ]);
  });

  it('are not reported after a message, and name no command for a file', () => {
    const notes: string[] = [];
    const heard = silenceNote('mqtt://127.0.0.1/a', (text) => notes.push(text));
    heard({ seen: 1, dropped: 0 });
    for (let i = 0; i < 20; i++) heard({ seen: 1, dropped: 0 });
    expect(notes).toEqual([]);
    const file = silenceNote('serial:/dev/ttyUSB0', (text) => notes.push(text));
    for (let i = 0; i < 20; i++) file({ seen: 0, dropped: 0 });
    expect(notes).toEqual(['No message has arrived in 10 seconds.']);
  });
});
