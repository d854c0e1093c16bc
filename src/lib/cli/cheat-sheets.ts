import type { Interfaces } from '@oclif/core';
import { AiotError } from '../core/errors.js';
import { didYouMean } from '../core/text.js';
import { cheatSheets as brokers, type CheatSheet } from '../stream/cheat-sheets.js';

/** Sheets for tools other than brokers: their usual command lines, and the equivalents in aiot. */
const tools = {
  esptool: {
    title: 'esptool, espflash, idf.py',
    about:
      'Boards on a serial port; --port is optional with a single board. Each command is shown under the one it replaces.',
    lines: [
      ['esptool chip-id · espflash board-info', 'aiot board info'],
      [
        'esptool write-flash 0x10000 app.bin · espflash write-bin 0x10000 app.bin',
        'aiot flash app.bin@0x10000',
      ],
      [
        'esptool write-flash for every connected board',
        'aiot flash whole.bin@0x0 --all --jobs 8 --record boards.csv',
      ],
      ['esptool read-flash 0x8000 0x1000 table.bin', 'aiot board read 0x8000 0x1000 --out table.bin'],
      ['esptool erase-flash', 'aiot board erase'],
      ['esptool run · espflash reset', 'aiot board run'],
      ['esptool verify-flash 0x10000 app.bin', 'aiot flash verify app.bin@0x10000'],
      ['esptool read-flash 0 ALL backup.bin', 'aiot board dump backup.bin'],
      ['esptool erase-region 0x9000 0x6000 · parttool.py erase_partition', 'aiot board erase nvs'],
      ['esptool image-info app.bin · espflash save-image', 'aiot firmware image info app.bin'],
      ['esptool elf2image app.elf', 'aiot firmware image create app.elf --chip esp32c3'],
      ['esptool load-ram test.bin', 'aiot board load-ram test.bin'],
      ['esptool --trace', 'aiot board info --trace trace.txt'],
      [
        'esptool merge-bin',
        'aiot firmware merge bootloader.bin@0x1000 partitions.bin@0x8000 app.bin@0x10000 --out whole.bin',
      ],
      ['gen_esp32part.py partitions.bin', 'aiot firmware partitions read partitions.bin'],
      [
        'nvs_partition_gen.py generate nvs.csv nvs.bin 0x6000',
        'aiot firmware nvs create nvs.csv nvs.bin --size 0x6000',
      ],
      ['espefuse summary · espflash board-info', 'aiot board security'],
      ['espsecure sign-data --version 2', 'aiot firmware sign app.bin --key secure.pem --out app-signed.bin'],
      ['espsecure verify-signature', 'aiot firmware verify app-signed.bin --key secure.pem'],
      ['espsecure digest-sbv2-public-key', 'aiot firmware key digest secure.pem --out digest.bin'],
      [
        'espsecure encrypt-flash-data --aes-xts',
        'aiot firmware encrypt app.bin --key flash.key --address 0x10000 --out app-encrypted.bin',
      ],
      ['idf.py monitor · espflash monitor · picocom', 'aiot board monitor --elf build/app.elf'],
    ],
    settings: [],
  },
  tflite: {
    title: 'Keras, TensorFlow Lite, TFLM',
    about:
      'From data to a quantized model and C code. For the same steps as functions, run aiot docs library.',
    lines: [
      ['model.fit(…) for a project', 'aiot model train'],
      [
        'tf.keras.models.load_model · TFLiteConverter',
        'aiot model import gestures.keras --out gestures.tflite',
      ],
      [
        'TFLiteConverter with a representative dataset, int8',
        'aiot model quantize float.tflite --data rows.csv --mode int8 --out int8.tflite',
      ],
      [
        'xxd -i model.tflite, plus its op resolver',
        'aiot model quantize float.tflite --data rows.csv --emit tflm',
      ],
      ['tf.lite.experimental.Analyzer · Netron', 'aiot model inspect int8.tflite'],
      ['classification_report, confusion_matrix', 'aiot model evaluate'],
      [
        'find where int8 is less accurate than float',
        'aiot model compare float.tflite int8.tflite --data rows.csv',
      ],
      ['check size and latency on a chip', 'aiot model fit int8.tflite --chip esp32s3'],
    ],
    settings: [],
  },
  fleet: {
    title: 'Fleet',
    about:
      'Devices and rollouts. A selector is an expression such as type=esp32 and site=lab and not online=true.',
    lines: [
      [
        'provision a device on the board at a port',
        'aiot device provision pump-7 --port /dev/ttyUSB0 --wifi-ssid plant --wifi-password-file wifi.txt',
      ],
      ['connect a board to another Wi-Fi network', 'aiot device onboard --port /dev/ttyUSB0'],
      ['provision many devices', 'aiot device provision --csv fleet.csv --out fleet --jobs 4'],
      ['list offline devices at a site', "aiot device list --selector 'site=lab and not online=true'"],
      ['preview a rollout', 'aiot rollout plan --model har@3 --selector site=lab --out rollout.json'],
      ['rehearse it with failures', 'aiot rollout rehearse rollout.json --fail-rate 2%'],
      [
        'roll out in waves that stop on failures',
        'aiot rollout start --model har@3 --selector site=lab --waves 1%,10%,100% --max-failures 1% --wait',
      ],
      ['show its progress', 'aiot rollout show ro_01k2'],
      ['roll it back', 'aiot rollout rollback ro_01k2'],
      ['show why a device runs a version', 'aiot device history pump-7'],
    ],
    settings: [],
  },
  pipeline: {
    title: 'From data to devices',
    about: 'The pipeline steps, one at a time or all at once; unchanged steps are skipped.',
    lines: [
      ['find problems in recordings', 'aiot data check'],
      ['compare new data with the training data', 'aiot data drift last-month.csv today.csv'],
      ['run every step from data to devices', 'aiot pipeline run'],
      ['stop after evaluation', 'aiot pipeline run --until evaluate'],
      ['run on new data or drift', 'aiot pipeline watch'],
      [
        'run on Argo Workflows',
        'aiot pipeline run --engine argo --argo-server https://argo.internal:2746 --argo-token-file token',
      ],
      ['push a signed, evaluated version', 'aiot model push'],
      ["show a version's lineage", 'aiot model lineage har@3'],
    ],
    settings: [],
  },
  platform: {
    title: 'Platform',
    about:
      'HTTPS API, MQTT broker, database and CA in one process; PostgreSQL and S3 for larger installations.',
    lines: [
      ['start the platform in the background', 'aiot up --detach'],
      ['open the dashboard', 'aiot dashboard --open'],
      ['show its status and warnings', 'aiot status'],
      ['give a person access', 'aiot token create laptop --role viewer --user alice --expires 30d'],
      ['create a token for CI', 'aiot token create builds --role ci --scope models:push --expires 90d'],
      ['back up to a file', 'aiot backup create platform.tar'],
      ['run it as a service', 'aiot platform service install'],
      ['run it on Kubernetes', 'aiot deploy render --target k3s --out k3s'],
      [
        'use PostgreSQL and S3',
        'aiot up --database postgres://aiot@db/aiot --blobs s3://aiot?endpoint=https://s3.internal',
      ],
      ['follow events', 'aiot events tail --follow'],
    ],
    settings: [],
  },
} satisfies Record<string, CheatSheet>;

/** All sheets by the TOPIC argument of `aiot examples`. */
export const allCheatSheets: Record<string, CheatSheet> = { ...brokers, ...tools };

type Commands = Pick<Interfaces.Config, 'commands' | 'topics'>;

/**
 * The examples for a sheet's name, a command such as `rollout start`, or a topic such as `rollout`.
 * @param asked empty for all sheets
 * @throws AIOT_USAGE if there are no examples
 */
export function sheetsFor(asked: string, config: Commands): [topic: string, sheet: CheatSheet][] {
  if (asked === '') return Object.entries(allCheatSheets);
  if (Object.hasOwn(allCheatSheets, asked)) return [[asked, allCheatSheets[asked]!]];
  const shown = config.commands
    .filter(({ hidden }) => !hidden)
    .map((command) => ({ ...command, id: spaced(command.id) }));
  const commands = shown.filter(({ id }) => id === asked || id.startsWith(`${asked} `));
  if (commands.length === 0) {
    const known = [...sheetNames(config), ...shown.map(({ id }) => id)];
    throw new AiotError('AIOT_USAGE', `there are no examples for "${asked}"${didYouMean(asked, known)}`, {
      next: 'Pass a broker, a tool or a command, such as `aiot examples kafka` or `aiot examples rollout start`. To list the commands, run `aiot --help`.',
    });
  }
  const about =
    commands.find(({ id }) => id === asked)?.summary ??
    config.topics.find(({ name }) => spaced(name) === asked)?.description;
  const lines = commands.flatMap(({ id, summary = '', examples = [] }) =>
    examples.map((example) => {
      const { command, description = summary } = typeof example === 'string' ? { command: example } : example;
      return [description, filled(command, id)] as [string, string];
    }),
  );
  return [[asked, { title: `aiot ${asked}`, about: about ?? '', lines, settings: [] }]];
}

/** First words that `aiot examples` accepts: sheets, topics, and commands without a topic. */
export function sheetNames({ commands }: Pick<Commands, 'commands'>): string[] {
  const shown = commands.filter(({ hidden }) => !hidden).map(({ id }) => id.split(':')[0]!);
  return [...new Set([...Object.keys(allCheatSheets), ...shown])].sort();
}

const spaced = (id: string) => id.replaceAll(':', ' ');

/** An example of a command, which oclif stores as a template. */
function filled(example: string, id: string): string {
  return example.replaceAll('<%= config.bin %>', 'aiot').replaceAll('<%= command.id %>', id);
}
