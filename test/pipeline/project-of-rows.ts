/** The aiot.yaml of a pump with rows in a table. */
export const pumpYaml = (more = '') => `name: pump
model:
  table: { file: rows.csv }
  layers: [8]
  train: { epochs: 10, learningRate: 0.02 }
  accept: { macroF1: 0.7 }
${more}`;

/** Two classes that differ in two columns. */
export function pumpRows(count: number, shift = 0): string {
  const lines = Array.from({ length: count }, (_, i) => {
    const bad = i % 2;
    const wave = Math.sin(i * 1.7);
    return `${(2 + bad * 3 + wave * 0.5 + shift).toFixed(3)},${(20 + wave).toFixed(3)},${(bad * 5 + Math.cos(i) * 0.4).toFixed(3)},${bad ? 'bad' : 'good'}`;
  });
  return `current,temperature,vibration,label\n${lines.join('\n')}\n`;
}
