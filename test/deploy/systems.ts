import { join } from 'node:path';
import { root } from '../support/cli.js';

const template = (name: string) => join(root, 'templates', name);

/** A bare platform, two on three machines, one that restores a backup, the four original systems, and the cloud half of one of them. */
export const systems: { name: string; project?: string; values?: string }[] = [
  { name: 'a platform' },
  { name: 'the motion system', project: template('har-imu') },
  { name: 'the guide', project: template('motor-watch') },
  { name: 'the faces at the edge', project: template('face-camera') },
  {
    name: 'the faces in the cloud',
    project: template('face-camera'),
    values: join(template('face-camera'), 'deploy.cloud.yaml'),
  },
  { name: 'three machines', values: join(root, 'test', 'deploy', 'three.yaml') },
  { name: 'three machines with NATS', values: join(root, 'test', 'deploy', 'three-nats.yaml') },
  { name: 'a restore', values: join(root, 'test', 'deploy', 'restoring.yaml') },
  { name: 'the kit', project: template('iot-kit') },
];

/** The output of a command or the content of a file, with unchecked access to any member. */
export const loose = (value: unknown) => value as Record<string, ReturnType<typeof JSON.parse>>;
