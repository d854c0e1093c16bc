import { behavior } from './behavior.js';
import { connecting } from './connect.js';
import { format } from './format.js';
import { publishing } from './publish.js';
import type { Statement } from './statement.js';
import { asking } from './subscribe.js';

/** All normative statements of MQTT 3.1.1 and MQTT 5, in the order of the specifications. */
export const statements: readonly Statement[] = [
  ...format,
  ...connecting,
  ...publishing,
  ...asking,
  ...behavior,
];
