import type { LoadedModel } from '../model-types.js';
import type { KnownVersion } from './cache/references.js';
import type { Contract } from './contract.js';
import { isAway, told } from './failures.js';
import type { Keep } from './keep.js';
import { titleOf } from './load.js';
import type { Settings } from './options.js';
import type { PlatformModel } from './platform.js';
import { requireNotRefused, tried } from './tried.js';

/** The longest pause of a platform that does not answer, ms. */
const longestPauseMs = 300_000;

/** Asks the platform again and again; its answers change what is kept. */
export class Watch {
  /** Attempts in a row without an answer. */
  private failures: number;
  private asking: Promise<void> | null = null;
  /** What the reference stood for when it was last put in use or refused: it stays so until it means another version. */
  private settled: { key: string; until: number };

  constructor(
    private readonly platform: PlatformModel,
    private readonly keep: Keep,
    private readonly settings: Settings,
    private readonly contract: Contract,
    offline: boolean,
  ) {
    this.failures = offline ? 1 : 0;
    this.settled = { key: keyOf(keep.now.model), until: Number.POSITIVE_INFINITY };
  }

  /** Until the next time; a little different each time, so that a fleet does not ask all at once. */
  pauseMs(): number {
    const pause = Math.min(longestPauseMs, this.settings.pollMs * 2 ** Math.min(this.failures, 10));
    return pause * (0.9 + 0.2 * Math.random());
  }

  check(): Promise<void> {
    this.asking ??= this.ask().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  private async ask(): Promise<void> {
    const { platform, keep, settings } = this;
    let wanted: KnownVersion | undefined;
    try {
      wanted = await platform.resolve();
      this.answered();
      if (keyOf(wanted) === this.settled.key && settings.clock.now() < this.settled.until) return;
      await requireNotRefused(platform, wanted);
      const next = await tried(platform, await platform.fetch(wanted), settings, this.contract);
      settings.signal?.throwIfAborted();
      keep.replace({ model: next, source: 'platform' });
      this.settled = { key: keyOf(wanted), until: Number.POSITIVE_INFINITY };
    } catch (error) {
      if (settings.signal?.aborted) return;
      if (isAway(error)) await this.away(error);
      else this.refuse(wanted, error);
    }
  }

  private answered(): void {
    if (this.failures > 0) this.settings.tell('online', `${this.platform.url} answers again`);
    this.failures = 0;
  }

  private async away(error: unknown): Promise<void> {
    this.failures++;
    this.keep.lastError = told(error);
    if (this.failures === 1) {
      this.settings.tell('offline', `${told(error)}; ${titleOf(this.keep.now.model)} goes on`);
    }
    await this.platform.disconnect().catch(() => {});
  }

  private refuse(wanted: KnownVersion | undefined, error: unknown): void {
    const what = wanted ? `${wanted.name}@${wanted.version}` : this.platform.reference;
    this.keep.lastError = `${what}: ${told(error)}`;
    const key = wanted ? keyOf(wanted) : what;
    const before = this.settled.key;
    // Keys, time or aiot.yaml may change what is wrong with it: it is looked at again, though seldom.
    this.settled = { key, until: this.settings.clock.now() + longestPauseMs };
    if (key === before) return;
    this.settings.tell(
      'refused',
      `${what} was not taken (${told(error)}); ${titleOf(this.keep.now.model)} goes on`,
    );
  }
}

function keyOf({ version, digest }: Pick<LoadedModel, 'version' | 'digest'>): string {
  return `${version} ${digest}`;
}
