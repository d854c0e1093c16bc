import * as z from 'zod';
import type { ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';
import type { RegistryClient } from './client.js';
import {
  type Decided,
  type DecisionRequest,
  decidedSchema,
  type Enrollment,
  mostDecided,
} from './contract/batches.js';
import { everyPage } from './page.js';

export const decisionSchema = z.object({
  action: z.string(),
  dryRun: z.boolean(),
  matched: z.int(),
  changed: z.int(),
  refused: z.int(),
  /** The devices, sorted by name. */
  devices: z.array(decidedSchema),
});
export type Decision = z.output<typeof decisionSchema>;

interface DecideOptions {
  client: Pick<RegistryClient, 'enrollments'>;
  action: DecisionRequest['action'];
  /** A device's name, or which of the waiting devices to decide on. */
  target: { name: string } | { batch?: string | undefined; selector?: string | undefined };
  note?: string | undefined;
  dryRun: boolean;
}

/**
 * Approves or rejects devices: the named one, or exactly those that wait when the command starts.
 * @throws AIOT_NOT_FOUND if there is none, AIOT_SELECTOR_INVALID, the error for a named device
 */
export async function decideEnrollments(options: DecideOptions): Promise<Decision> {
  const { client, action, target, note, dryRun } = options;
  const found = await chosen(client, target);
  const devices: Decided[] = dryRun ? found.map((each) => planned(each, action)) : [];
  for (let i = 0; i < found.length && !dryRun; i += mostDecided) {
    const names = found.slice(i, i + mostDecided).map(({ name }) => name);
    devices.push(
      ...(await client.enrollments.decide({ action, names, ...(note === undefined ? {} : { note }) })),
    );
  }
  const [only] = devices;
  if ('name' in target && only?.error) {
    throw new AiotError(only.error.code as ErrorCode, only.error.message, { next: lookUp });
  }
  const count = (outcome: Decided['outcome']) => devices.filter((each) => each.outcome === outcome).length;
  const counts = { matched: devices.length, changed: count('changed'), refused: count('refused') };
  return { action, dryRun, ...counts, devices };
}

/** Exit code: 3 if some devices were not approved or rejected, 1 if none was; undefined = success. */
export function decisionExit({ matched, refused }: Decision): 1 | 3 | undefined {
  if (refused === 0) return undefined;
  return refused === matched ? 1 : 3;
}

const lookUp = 'To see the devices of batches, run `aiot device waiting list --all`.';

async function chosen(
  client: DecideOptions['client'],
  target: DecideOptions['target'],
): Promise<Enrollment[]> {
  const isNamed = 'name' in target;
  const query = isNamed ? { selector: `name = "${target.name}"` } : { ...target, state: 'waiting' as const };
  const found = await everyPage(async (page) => {
    const { enrollments, next } = await client.enrollments.list({ ...query, ...page });
    return { entries: enrollments, next };
  });
  if (found.length > 0) return found;
  const what = isNamed
    ? `no device waits with the name ${target.name}`
    : 'no matching device waits for approval';
  throw new AiotError('AIOT_NOT_FOUND', what, { next: lookUp });
}

/** The outcome if the decision were made now. */
function planned({ name, state }: Enrollment, action: DecideOptions['action']): Decided {
  const changes = state === 'waiting' || (state === 'rejected' && action === 'approve');
  return { name, outcome: changes ? 'changed' : 'same', state, error: null };
}
