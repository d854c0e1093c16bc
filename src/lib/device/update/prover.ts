import type { Desired, Reported } from '../protocol/messages.js';
import { type Signer, withProof } from '../protocol/proof.js';

interface ProverPorts {
  /** The device's key; absent = the device reports without a proof. */
  signer: Signer | undefined;
  /** ms since 1970 */
  now(): number;
  /** Speed-up factor of the device's clock; 1 if absent. */
  speed?: number;
  /** Sends another report. */
  report(): void;
}

/** Signs a device's commit reports, and reports again when the release has run for the required time. */
export class Prover {
  private readonly since = new Map<Desired['kind'], number>();
  private wished: Desired | null = null;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly ports: ProverPorts) {}

  wish(desired: Desired | null): void {
    this.wished = desired;
    clearTimeout(this.timer);
  }

  /** Records that a release of this kind is now in use. */
  use(kind: Desired['kind']): void {
    this.since.set(kind, this.ports.now());
  }

  prove(reported: Reported): Reported {
    const { signer, now, speed = 1, report } = this.ports;
    const since = this.since.get(reported.kind ?? 'model');
    const healthyMs = since === undefined ? 0 : Math.max(0, now() - since) * speed;
    const { rollout = null, soakMs = 0 } = this.wished ?? {};
    if (signer && reported.state === 'COMMITTED' && rollout === reported.rollout && healthyMs < soakMs) {
      clearTimeout(this.timer);
      // A timer may fire a millisecond early, and the report would then state one second less than required.
      this.timer = setTimeout(report, (soakMs - healthyMs) / speed + 5).unref();
    }
    return withProof(reported, signer, Math.floor(healthyMs / 1000));
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
