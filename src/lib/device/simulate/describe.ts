import type { DeviceEvent } from '../events.js';

/** One line that tells a person what happened, without the time. */
export function describeEvent(event: DeviceEvent): string {
  switch (event.event) {
    case 'booted': {
      const { model } = event;
      return model ? `booted with ${model.name}@${model.version}` : 'booted without a model';
    }
    case 'online':
      return 'online';
    case 'offline':
      return 'offline';
    case 'reported': {
      const { state, model, download, golden, error } = event.reported;
      const parts = [
        model ? `runs ${model.name}@${model.version}` : 'runs no model',
        ...(state === 'DOWNLOADING' && download ? [`${download.bytes} of ${download.total} bytes`] : []),
        ...(golden ? [`golden vectors ${golden.passed}/${golden.vectors}`] : []),
        ...(error ? [`${error.code}: ${error.message}`] : []),
      ];
      return `${state}  ${parts.join(', ')}`;
    }
    case 'command':
      return `command ${event.command}: ${event.ok ? 'done' : 'refused'}`;
    case 'inference': {
      const { window, label, voted, scores, value, latencyMs } = event.inference;
      if (label === null || value !== null) {
        const said = label === null ? '' : `${label}, voted ${voted}, `;
        return `window ${window}: ${said}${scores.map(short).join(' ')}, ${latencyMs.toFixed(2)} ms`;
      }
      const best = Math.max(...scores);
      return `window ${window}: ${label} (${(best * 100).toFixed(0)} %), voted ${voted}, ${latencyMs.toFixed(2)} ms`;
    }
    case 'log':
      return `${event.level}: ${event.message}`;
    case 'sent': {
      const { recording, samples, messages, inferences, seconds } = event;
      return `sent ${recording}: ${samples} samples, ${messages} messages, ${inferences} inferences in ${seconds.toFixed(1)} s`;
    }
    case 'died':
      return `died: ${event.message}`;
    case 'stopped':
      return 'stopped';
  }
}

const short = (value: number) => String(Number(value.toPrecision(4)));
