import { dictionary } from '../../core/index.js';
import type { Desired, Reported, ShadowFigures } from '../protocol/messages.js';

interface MemberShadowPorts {
  /** How much faster the device's time goes. */
  speed: number;
  /** One pass over the windows that there are; null = there is nothing to compare with. */
  measure(): Promise<ShadowFigures | null>;
  report(): void;
  fail(error: unknown): void;
}

/** However fast its time goes, ms. */
const leastMs = 50;

/** The shadow of a device of a fleet: it has no sensor, so it passes over the same windows again with each report. */
export class MemberShadow {
  private everyMs = 10_000;
  private timer: NodeJS.Timeout | undefined;
  private figures: ShadowFigures | null = null;

  constructor(private readonly ports: MemberShadowPorts) {}

  wish({ shadow }: Desired): void {
    if (shadow) this.everyMs = shadow.everyMs;
  }

  run(isOn: boolean): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.figures = null;
    if (!isOn) return;
    const pass = () => this.pass(timer);
    const timer = setInterval(pass, Math.max(leastMs, this.everyMs / this.ports.speed)).unref();
    this.timer = timer;
    pass();
  }

  told(reported: Reported): Reported {
    return this.figures ? { ...reported, shadow: this.figures } : reported;
  }

  private pass(timer: NodeJS.Timeout): void {
    this.ports.measure().then(
      (figures) => {
        if (this.timer !== timer || !figures) return;
        this.figures = this.figures ? sum(this.figures, figures) : figures;
        this.ports.report();
      },
      (error: unknown) => {
        if (this.timer !== timer) return;
        this.run(false);
        this.ports.fail(error);
      },
    );
  }
}

function sum(before: ShadowFigures, more: ShadowFigures): ShadowFigures {
  const side = (which: 'active' | 'candidate') => {
    const labels = Object.assign(dictionary<number>(), before[which].labels);
    for (const [label, count] of Object.entries(more[which].labels))
      labels[label] = (labels[label] ?? 0) + count;
    return { ...more[which], labels };
  };
  return {
    windows: before.windows + more.windows,
    disagreements: before.disagreements + more.disagreements,
    ...{ active: side('active'), candidate: side('candidate') },
  };
}
