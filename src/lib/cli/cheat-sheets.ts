import { cheatSheets as brokers, type CheatSheet } from '../stream/cheat-sheets.js';

/** Sheets of what is no broker: what people type in the tools they know, and the line for it here. */
const tools = {
  esptool: {
    title: 'esptool, espflash, idf.py',
    about:
      'Boards on a serial port; without --port the only one there is. Each line stands below what it replaces.',
    lines: [
      ['esptool chip-id · espflash board-info', 'aiot flash info'],
      [
        'esptool write-flash 0x10000 app.bin · espflash write-bin 0x10000 app.bin',
        'aiot flash app.bin@0x10000',
      ],
      [
        'esptool write-flash for every board on the bench',
        'aiot flash whole.bin@0x0 --all --jobs 8 --record boards.csv',
      ],
      ['esptool verify-flash 0x10000 app.bin', 'aiot flash verify app.bin@0x10000'],
      ['esptool read-flash 0 ALL backup.bin', 'aiot flash read 0x0 --out backup.bin'],
      ['esptool erase-region 0x9000 0x6000 · parttool.py erase_partition', 'aiot flash erase nvs'],
      ['esptool image-info app.bin · espflash save-image', 'aiot firmware image info app.bin'],
      [
        'esptool merge-bin',
        'aiot firmware merge bootloader.bin@0x1000 partitions.bin@0x8000 app.bin@0x10000 --out whole.bin',
      ],
      ['gen_esp32part.py partitions.bin', 'aiot firmware partitions read partitions.bin'],
      [
        'nvs_partition_gen.py generate nvs.csv nvs.bin 0x6000',
        'aiot firmware nvs create nvs.csv nvs.bin --size 0x6000',
      ],
      ['idf.py monitor · espflash monitor · picocom', 'aiot monitor --elf build/app.elf'],
    ],
    settings: [],
  },
  tflite: {
    title: 'Keras, TensorFlow Lite, TFLM',
    about: 'From data to a network of integers and its C; docs/library.md has the same as functions.',
    lines: [
      ['model.fit(…) of a project', 'aiot model train'],
      [
        'tf.keras.models.load_model · TFLiteConverter',
        'aiot model import gestures.keras --out gestures.tflite',
      ],
      [
        'TFLiteConverter with a representative dataset, int8',
        'aiot model quantize float.tflite --data rows.csv --mode int8 --out int8.tflite',
      ],
      [
        'xxd -i model.tflite, with its op resolver',
        'aiot model quantize float.tflite --data rows.csv --emit tflm',
      ],
      ['tf.lite.experimental.Analyzer · Netron', 'aiot model inspect int8.tflite'],
      ['classification_report, confusion_matrix', 'aiot model evaluate'],
      ['where int8 loses what float had', 'aiot model compare float.tflite int8.tflite --data rows.csv'],
      ['does it fit, and how fast is it', 'aiot model fit int8.tflite --chip esp32s3'],
    ],
    settings: [],
  },
  fleet: {
    title: 'A fleet',
    about:
      'Devices, and what they are given. A selector is what device list takes: type=esp32 and site=lab and not online=true.',
    lines: [
      [
        'a device with its certificate, onto the board at the port',
        'aiot device provision pump-7 --port /dev/ttyUSB0 --wifi-ssid plant --wifi-password-file wifi.txt',
      ],
      ['a hundred of them', 'aiot device provision --csv fleet.csv --out fleet --jobs 4'],
      ['who is there', "aiot device list --selector 'site=lab and not online=true'"],
      [
        'what a rollout would do, and to whom',
        'aiot ota plan --model har@3 --selector site=lab --out rollout.json',
      ],
      ['how it would go with failures', 'aiot ota rehearse rollout.json --fail-rate 2%'],
      [
        'in waves that stop themselves',
        'aiot ota start --model har@3 --selector site=lab --waves 1%,10%,100% --max-failures 1% --wait',
      ],
      ['where it stands; back to what they had', 'aiot ota status ro_01k2'],
      ['undo it', 'aiot ota rollback ro_01k2'],
      ['why a device runs what it runs', 'aiot device history pump-7'],
    ],
    settings: [],
  },
  pipeline: {
    title: 'Data to devices',
    about: 'The steps one by one, and all of them again only where something has changed.',
    lines: [
      ['what recordings can and cannot show', 'aiot data check'],
      ['is today still what was trained on', 'aiot data drift last-month.csv today.csv'],
      ['every step from data to devices', 'aiot pipeline run'],
      ['up to the figures, and no further', 'aiot pipeline run --until evaluate'],
      ['whenever there is enough new data, or it drifts', 'aiot pipeline watch'],
      [
        'on Argo Workflows',
        'aiot pipeline run --engine argo --argo-server https://argo.internal:2746 --argo-token-file token',
      ],
      ['publish, with limits kept and a signature', 'aiot model push'],
      ['how a version came to be', 'aiot model why har@3'],
    ],
    settings: [],
  },
  platform: {
    title: 'A platform',
    about:
      'HTTPS API, MQTT broker, database and CA in one process; on PostgreSQL and S3 where one machine is too small.',
    lines: [
      ['start it in the background; look at it; end it', 'aiot up --detach'],
      ['in the browser', 'aiot dashboard --open'],
      ['what is wrong', 'aiot status'],
      ['let somebody in', 'aiot token create laptop --role viewer --user alice --expires 30d'],
      ['a token for CI', 'aiot token create builds --role ci --scope models:push --expires 90d'],
      ['keep a copy', 'aiot backup create platform.tar'],
      ['as a service of this machine', 'aiot platform install'],
      ['on Kubernetes', 'aiot deploy render --target k3s --out k3s'],
      [
        'on an engine of its own',
        'aiot up --database postgres://aiot@db/aiot --blobs s3://aiot?endpoint=https://s3.internal',
      ],
      ['what happens, as it happens', 'aiot events tail --follow'],
    ],
    settings: [],
  },
} satisfies Record<string, CheatSheet>;

/** By the topic of `aiot cheat TOPIC`. */
export const allCheatSheets: Record<string, CheatSheet> = { ...brokers, ...tools };
