import { parseOciReference } from '../../src/lib/api/oci/reference.js';
import { parseModelReference } from '../../src/lib/api/reference.js';
import { parseProject } from '../../src/lib/core/project.js';
import { parseCron, parseDuration } from '../../src/lib/core/time.js';
import { parseValues } from '../../src/lib/deploy/values.js';
import { parseTemplate } from '../../src/lib/device/fleet/simulate.js';
import { parsePattern } from '../../src/lib/flash/monitor/pattern.js';
import { parsePlaced } from '../../src/lib/flash/plan/pieces.js';
import { parseExpression, parseSelector } from '../../src/lib/fleet/selector.js';
import { readXml } from '../../src/lib/formats/xml.js';
import { parseAddress } from '../../src/lib/loop/sense/address.js';
import { parseWhen } from '../../src/lib/pipeline/plan/when.js';
import { readFleet } from '../../src/lib/provision/provision-fleet.js';
import { parseElementType, parseMountMatrix } from '../../src/lib/sensor/iio/channels.js';
import { parseSensorUrl } from '../../src/lib/sensor/url.js';
import { parseCreateFile } from '../../src/lib/stream/broker/create.js';
import { compileExpression } from '../../src/lib/stream/decode/expression.js';
import { decodeAuto } from '../../src/lib/stream/decode/values.js';
import { nameTemplate } from '../../src/lib/stream/file/template.js';
import { parseRoutes } from '../../src/lib/stream/route/load.js';
import { importFlow, parseFlow } from '../../src/lib/stream/route/node-red.js';
import { compileTemplate } from '../../src/lib/stream/tail/template.js';
import { parseStreamUrl } from '../../src/lib/stream/url.js';
import { filesIn, texts } from '../seeds.js';
import type { Seed, Target } from '../types.js';
import { messageOf } from './wires.js';

/** Returns a target that reads text. */
const text = (
  name: string,
  seeds: Seed[] | (() => Seed[]),
  read: (text: string) => unknown,
  words: readonly string[] = [],
): Target => ({
  name,
  seeds: typeof seeds === 'function' ? seeds : () => seeds,
  run: (input) => read(input.toString()),
  words,
});
const yaml = [
  '\n  ',
  '- ',
  ': ',
  '&a ',
  '*a',
  '<<: *a',
  '!!binary ',
  '|\n',
  '? ',
  '{a: [',
  '---\n',
  '"\\x',
  '!!js/function ',
  '~',
];
const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghij'].map((name, n) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[n]}`).join()}]`).join('\n')}\n`;
const flow = texts([
  { id: 'a', type: 'mqtt in', topic: 'x', broker: 'b', wires: [['c']] },
  { id: 'b', type: 'mqtt-broker', broker: 'localhost', port: '1883' },
  { id: 'c', type: 'function', func: 'return msg;', wires: [['d']] },
  { id: 'd', type: 'mqtt out', topic: 'y', broker: 'b' },
]);
const routes =
  'routes:\n  a:\n    from: mqtt://h:1883/x\n    to: [file:out.ndjson]\n    where: value > 1\n    set: {x: "\u0024{Y:-1}"}\n';

/** Targets that read text written by people: files, addresses, expressions, times. */
export const words: readonly Target[] = [
  text(
    'core/project',
    () => [
      ...['har-imu', 'motor-watch', 'iot-kit', 'face-camera'].flatMap((name) =>
        filesIn(`templates/${name}/aiot.yaml`),
      ),
      bomb,
      'name: x\n',
    ],
    (it) => parseProject(it, 'aiot.yaml'),
    yaml,
  ),
  text('stream/routes', [routes, bomb], (it) => parseRoutes(it, 'routes.yaml', { environment: {} }), yaml),
  text(
    'stream/create-file',
    ['topics:\n  - name: a\n    partitions: 3\n', bomb],
    (it) => parseCreateFile(it, 'it', {}),
    yaml,
  ),
  text(
    'formats/xml',
    () => [
      ...filesIn('test/fixtures/annotations', '.xml'),
      '<?xml version="1.0"?><a x="1" y=\'>\'><!-- b --><![CDATA[<c>]]>&#x41;&lt;</a>',
    ],
    (it) => readXml(it, 'it'),
    ['<a>', '</a>', '<![CDATA[', ']]>', '<!--', '-->', '<?', '?>', '&amp;', '&#65;', '<!DOCTYPE'],
  ),
  text('deploy/values', ['name: x\nhost: a.b\n', bomb], (it) => parseValues(it, 'it'), yaml),
  text('stream/node-red', flow, (it) => importFlow(parseFlow(it, 'flow.json')), [
    '"wires":[["a"]]',
    '"type":"switch"',
    '"type":"link in"',
  ]),
  {
    ...text(
      'stream/expression',
      [
        'temperature > 80 and $topic = "a"',
        '$sum(a.b[0].c) & "x"',
        '{"a": x ? 1 : [2]}',
        '-a.b[-1] in [1..3]',
      ],
      (it) =>
        compileExpression(it).evaluate(
          messageOf(Buffer.from('{"a":{"b":[1,2]},"x":true,"temperature":81}')),
          ({ payload }) => decodeAuto(Buffer.from(payload)),
        ),
      ['$map(', 'function($x){', '~>', '[1..1000000]', '$match(a,/', '^(', '**', '%'],
    ),
    timeMs: 3000,
  },
  text('stream/print-template', ['{{topic}} {{ $time }} {value}\\n'], (it) => compileTemplate(it)),
  text('stream/name-template', ['out/{time:YYYY/MM}/{n:6}-{topic}-{key}-{id}'], (it) =>
    nameTemplate(it, 'it').render(messageOf(Buffer.alloc(0)), 1),
  ),
  text(
    'stream/url',
    ['mqtt://u:p@host:1883/a/#?qos=1', 'kafka://a:1,b:2/t?group=x', 'file:./a b.csv?header=false'],
    (it) => parseStreamUrl(it),
  ),
  text(
    'fleet/selector',
    ['board = esp32 and (zone in (a, b) or version >= 1.2.3) and not name ~ "x-*"', 'age > 3d'],
    (it) => [parseExpression(it), parseSelector(it, 1)],
    ['(', ')', ' and ', ' or ', 'not ', ' in (', '~', '*', '"'],
  ),
  text('core/duration', ['500ms', '1.5 h', '7d'], (it) => parseDuration(it)),
  text('core/cron', ['*/5 0-3,7 1 jan mon-fri', '@daily'], (it) => parseCron(it)(1_700_000_000_000)),
  text('pipeline/when', ['evaluate.accuracy > 0.9 and not drift.drifted', 'a.b == "x"'], (it) =>
    parseWhen(it),
  ),
  text(
    'loop/address',
    ['i2c://1/lsm6ds3tr-c?rate=104', 'mqtt://h/x?fields=a,b', 'sim:adxl345?seed=1'],
    (it) => parseAddress(it),
  ),
  text('sensor/url', ['i2c://1/mpu6050?range=4', 'iio:lsm6dsox'], (it) => parseSensorUrl(it)),
  text('sensor/iio-type', ['le:s16/16>>0', 'be:u12/16X2>>4'], (it) => parseElementType(it)),
  text('sensor/iio-mount', ['1, 0, 0; 0, 1, 0; 0, 0, 1'], (it) => parseMountMatrix(it)),
  text('api/reference', ['motor@3', 'a.b@latest', 'x@sha256:00'], (it) => parseModelReference(it)),
  text('api/oci-reference', ['oci://ghcr.io/a/b:1@sha256:00', 'oci://localhost:5000/x'], (it) =>
    parseOciReference(it),
  ),
  text('device/fleet-template', ['dev-###,a=b', 'x#'], (it) => parseTemplate(it)),
  text('flash/monitor-pattern', ['/ready/i', '^I .*wifi'], (it) => parsePattern(it)),
  text('flash/placed', ['app.bin@0x10000', 'a@ota_0'], (it) => parsePlaced(it)),
  text('provision/fleet-csv', ['name,board,tags\na,esp32,zone=a\nb,,\n'], (it) =>
    readFleet(it, 'it', { type: 'esp32', chip: undefined, wifi: null }),
  ),
];
