import { join } from 'node:path';
import { root } from '../support/cli.js';

const template = (name: string) => join(root, 'templates', name);

/** The four founding systems, the cloud half of one, and none. */
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
  { name: 'the kit', project: template('iot-kit') },
];

/** What a command printed or a file holds, to look at any member of. */
export const loose = (value: unknown) => value as Record<string, ReturnType<typeof JSON.parse>>;
