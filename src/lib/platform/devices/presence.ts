import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { newId } from '../../core/names.js';
import { Liveness, removeEnded, shareEveryMs } from '../replicas.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';

interface Parts {
  store: Store;
  devices: Devices;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  /** ms since an arbitrary start; default: this machine's monotonic clock */
  elapsed?: () => number;
}

const rowsAtOnce = 200;
/** Number of other replicas' rows read at once, so that requests get a turn in between. */
const readAtOnce = 5000;

/**
 * Shares which devices are connected to which replica, for replicas that each have a broker of their own. The rows of a replica that was
 * killed expire, because no one else can know that its connections are gone.
 */
export class SharedPresence {
  private readonly id: string;
  private readonly liveness: Liveness;
  private shared = new Set<string>();

  constructor(private readonly parts: Parts) {
    this.id = newId('replica', parts.now());
    this.liveness = new Liveness(parts.elapsed);
  }

  /** Shares the connections until the returned function is called, which withdraws them. */
  start(): () => Promise<void> {
    const ended = new AbortController();
    const running = this.run(ended.signal);
    return async () => {
      ended.abort();
      await running;
      await this.withdraw().catch(() => {});
    };
  }

  private async run(signal: AbortSignal): Promise<void> {
    let isFailing = false;
    while (!signal.aborted) {
      try {
        await this.share();
        isFailing = false;
      } catch (err) {
        if (!isFailing) this.parts.log.warn({ err }, 'could not share which devices are connected; retrying');
        isFailing = true;
      }
      await delay(shareEveryMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Stores the changes since the last call, and reads the connections of the other replicas. */
  async share(): Promise<void> {
    const { store, devices, now } = this.parts;
    const here = new Set(devices.connectedHere());
    const gone = [...this.shared].filter((device) => !here.has(device));
    const [replica, seen] = [this.id, now()];
    await store.transaction().execute(async (transaction) => {
      const all = await transaction.selectFrom('replicas').select(['replica', 'seen']).execute();
      // If others removed this replica while it was stalled, its connections were removed too. An update waits for such a removal to end.
      const own = transaction.updateTable('replicas').set({ seen }).where('replica', '=', replica);
      const isKnown = Number((await own.executeTakeFirst()).numUpdatedRows) > 0;
      if (!isKnown) await transaction.insertInto('replicas').values({ replica, seen }).execute();
      const begun = [...here].filter((device) => !isKnown || !this.shared.has(device));
      for (let i = 0; i < begun.length; i += rowsAtOnce) {
        const rows = begun.slice(i, i + rowsAtOnce).map((device) => ({ device, replica }));
        await transaction
          .insertInto('presences')
          .values(rows)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
      for (let i = 0; i < gone.length; i += rowsAtOnce) {
        const own = transaction.deleteFrom('presences').where('replica', '=', replica);
        await own.where('device', 'in', gone.slice(i, i + rowsAtOnce)).execute();
      }
      await removeEnded(
        transaction,
        this.liveness.observe(all.filter((row) => row.replica !== replica)).ended,
      );
      // Rows from a restored backup are deleted too, because the replicas that they name are not running.
      const known = transaction.selectFrom('replicas').select('replica');
      await transaction.deleteFrom('presences').where('replica', 'not in', known).execute();
    });
    this.shared = here;
    devices.connectedElsewhere(await this.others());
  }

  /** Names of the devices that are connected to other replicas. */
  private async others(): Promise<Set<string>> {
    const found = new Set<string>();
    for (let last = ''; ; ) {
      const rows = await this.parts.store
        .selectFrom('presences')
        .select('device')
        .distinct()
        .where('replica', '!=', this.id)
        .where('device', '>', last)
        .orderBy('device')
        .limit(readAtOnce)
        .execute();
      for (const { device } of rows) found.add(device);
      if (rows.length < readAtOnce) return found;
      last = rows.at(-1)?.device ?? last;
    }
  }

  private async withdraw(): Promise<void> {
    await this.parts.store.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('presences').where('replica', '=', this.id).execute();
      await transaction.deleteFrom('replicas').where('replica', '=', this.id).execute();
    });
  }
}
