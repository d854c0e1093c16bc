/** 521639 → `521,639` */
export function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

/** 1, 'recording' → `1 recording`; 1200 → `1,200 recordings` */
export function plural(count: number, noun: string): string {
  return `${thousands(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** 0.9712 → `97.1 %` */
export function percent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** 1536 → `1.5 KiB` */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** `0.5`, `-3` → the number; NaN for words, and for what JavaScript would also take: '', `0x10`, `1e3`, `Infinity`. */
export function decimalOf(text: string): number {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

/** 1 234 567 ms → `20 min 35 s`; 87 → `87 ms`. */
export function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
