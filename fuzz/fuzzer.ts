import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Fault, Finding, Order, Report, TargetRun } from './types.js';

/** An input that takes this long, ms, is considered a hang, because an endless loop cannot report itself. */
const hangMs = 5000;
const largest = 4 * 1024 * 1024;

/** A worker that tries inputs. It is replaced if an input hangs it or exhausts its memory. */
export class Fuzzer {
  private worker: Worker | null = null;
  /** Folder for files that targets write. The supervisor removes it, because a killed worker cannot. */
  private folder: string | null = null;
  private readonly running = new SharedArrayBuffer(16 + largest);

  constructor(private readonly built: { worker: string; places: number }) {}

  async targets(): Promise<string[]> {
    const told = await this.ask({ do: 'list' }, 'list');
    return told.told === 'list' ? told.names : [];
  }

  /** Repeats one input in a fresh worker. */
  async replayed(target: string, input: Buffer): Promise<{ fault: Fault | null; said: string }> {
    await this.close();
    const told = await this.ask({ do: 'try', target, input }, 'tried');
    if (told.told === 'tried') return told;
    return { fault: faultOf(told), said: told.told };
  }

  /**
   * Fuzzes one target until its time is up. An input that hangs the worker or exhausts its memory is a finding, and fuzzing continues
   * after it with another seed.
   */
  async fuzz(order: {
    target: string;
    seed: number;
    seconds: number;
    inputs: number;
  }): Promise<{ run: TargetRun; findings: Finding[] }> {
    const findings: Finding[] = [];
    const run: TargetRun = { target: order.target, inputs: 0, kept: 0, reached: 0, seconds: 0 };
    const end = performance.now() + order.seconds * 1000;
    for (let seed = order.seed; ; seed += 1_000_003) {
      const began = performance.now();
      const seconds = Math.max(0, (end - began) / 1000);
      const known = findings.map(({ key }) => key);
      const told = await this.ask({ ...order, do: 'fuzz', seed, seconds, known }, 'ran', (finding) =>
        findings.push(finding),
      );
      if (told.told === 'ran') {
        run.inputs += told.run.inputs;
        run.kept = Math.max(run.kept, told.run.kept);
        run.reached = Math.max(run.reached, told.run.reached);
        run.seconds += told.run.seconds;
        return { run, findings };
      }
      run.seconds += (performance.now() - began) / 1000;
      const fault = faultOf(told);
      if (!('input' in told)) throw new Error(`a worker said ${told.told}`);
      const { input } = told;
      const again = await this.replayed(order.target, input);
      // Workers are restarted only for reproducible faults, so one run cannot restart them endlessly.
      if (again.fault !== null) findings.push({ ...fault, target: order.target, input });
      if (again.fault !== null || performance.now() > end) return { run, findings };
    }
  }

  async close(): Promise<void> {
    await this.worker?.terminate();
    this.worker = null;
    if (this.folder !== null) rmSync(this.folder, { recursive: true, force: true });
    this.folder = null;
  }

  private begun(): Worker {
    this.folder ??= mkdtempSync(join(tmpdir(), 'aiot-fuzz-'));
    return new Worker(this.built.worker, {
      workerData: { places: this.built.places, running: this.running },
      env: { ...process.env, TMPDIR: this.folder },
      resourceLimits: { maxOldGenerationSizeMb: 1024 },
    });
  }

  private ask(
    order: Order,
    last: Report['told'],
    found: (finding: Finding) => void = () => {},
  ): Promise<Report | Lost> {
    this.worker ??= this.begun();
    const worker = this.worker;
    const state = new Float64Array(this.running, 0, 2);
    state[0] = 0;
    return new Promise((resolve, reject) => {
      const watch = setInterval(() => {
        const since = state[0]!;
        if (since === 0 || Date.now() - since < hangMs) return;
        const input = Buffer.from(Buffer.from(this.running, 16, state[1]!));
        done();
        void this.close().then(() => resolve({ told: 'hung', input }));
      }, 100);
      const onMessage = (report: Report) => {
        if (report.told === 'finding') found({ ...report.finding, input: Buffer.from(report.finding.input) });
        if (report.told !== last) return;
        done();
        resolve(report);
      };
      const onError = (error: NodeJS.ErrnoException) => {
        done();
        this.worker = null;
        const input = Buffer.from(Buffer.from(this.running, 16, state[1]!));
        if (error.code === 'ERR_WORKER_OUT_OF_MEMORY' && state[0] !== 0) resolve({ told: 'full', input });
        else reject(error);
      };
      const done = () => {
        clearInterval(watch);
        worker.off('message', onMessage);
        worker.off('error', onError);
      };
      worker.on('message', onMessage);
      worker.on('error', onError);
      if (order.do === 'try') {
        // `running` is marked as empty, because the caller already has the input.
        state[1] = 0;
        state[0] = Date.now() + 10_000;
      }
      worker.postMessage(order);
    });
  }
}

/** A worker that was ended, and the input that it was trying. */
interface Lost {
  told: 'hung' | 'full';
  input: Buffer;
}

function faultOf({ told }: Report | Lost): Fault {
  return told === 'full'
    ? { kind: 'memory', key: 'memory', detail: 'more than 1 GiB' }
    : { kind: 'hang', key: 'hang', detail: `more than ${hangMs} ms` };
}
