import {
  cTypeOf,
  type Helper,
  less,
  type Piece,
  pieceOf,
  type SiteOf,
  scaledText,
  scaleOf,
  signed,
  storedText,
  table,
  wideScaledText,
} from './piece.js';

type Scale = ReturnType<typeof scaleOf>;

/**
 * SVDF: shifts the state by one step, computes its newest values from the input, and then the outputs from the state. Sums are unsigned,
 * because an int16 state can make them overflow, and they must then wrap.
 */
export function svdf(site: SiteOf<'SVDF'>): Piece {
  const [batches, inputs] = site.input(0).shape as [number, number];
  const [filters, memory] = site.input(2).shape as [number, number];
  const [units, per] = [filters / site.options.rank, site.options.rank * memory];
  const [x, state, y] = [site.input(0), site.input(4), site.output].map(scaleOf) as [Scale, Scale, Scale];
  const [feature, time] = [site.input(1), site.input(2)].map((tensor) => scaleOf(tensor).scale) as [
    number,
    number,
  ];
  const wide = site.input(4).type === 'int16';
  const [type, low, high] = wide ? ['int16_t', -32768, 32767] : ['int8_t', -128, 127];
  const first = scaledText('(int32_t)sum', Math.fround(Math.fround(x.scale * feature) / state.scale));
  const second = scaledText('(int32_t)sum', Math.fround(Math.fround(state.scale * time) / y.scale));
  const own = `variable${site.operator.inputs[4]}`;
  const body = `memmove(${own}, ${own} + 1, sizeof ${own} - sizeof *${own});
for (int batch = 0; batch < ${batches}; batch++, x += ${inputs}) {
  ${type} *const state = ${own} + batch * ${filters * memory};
  for (int f = 0; f < ${filters}; f++) {
    uint32_t sum = 0;
    for (int i = 0; i < ${inputs}; i++) sum += (uint32_t)(${site.own('feature')}[f * ${inputs} + i] * ${less('x[i]', x.zeroPoint)});
    state[f * ${memory} + ${memory - 1}] = (${type})(clamped(${first.text}, ${low}, ${high}) + ${signed(state.zeroPoint)});
  }
  for (int u = 0; u < ${units}; u++) {
    uint32_t sum = (uint32_t)${site.own('bias')}[u];
    for (int i = u * ${per}; i < (u + 1) * ${per}; i++) sum += (uint32_t)(${site.own('time')}[i] * ${less('state[i]', state.zeroPoint)});
    *y++ = (int8_t)clamped(${second.text} + ${signed(y.zeroPoint)}, -128, 127);
  }
}`;
  return pieceOf(site, {
    constants: [
      table('int8_t', site.own('feature'), site.input(1).data as Int8Array),
      table(type, site.own('time'), site.input(2).data as Int8Array | Int16Array),
      table('int32_t', site.own('bias'), site.input(3).data as Int32Array),
    ],
    body,
    helpers: ['clamped', first.helper, second.helper],
    about: `${inputs} → ${units}, ${site.options.rank} ${site.options.rank === 1 ? 'filter' : 'filters'} each over ${memory} steps`,
  });
}

/** For each gate, the positions of x's weights, the hidden state's weights, and the bias. */
const gates = { input: [1, 5, 12], forget: [2, 6, 13], cell: [3, 7, 14], output: [4, 8, 15] } as const;

/**
 * LSTM: for each cell and step, four gates are computed from the input and the previous step's outputs. For int16, the sums of the gates have
 * 64 bits.
 */
export function lstm(site: SiteOf<'UNIDIRECTIONAL_SEQUENCE_LSTM'>): Piece {
  const { timeMajor, cellClip } = site.options;
  const [first, second, inputs] = site.input(0).shape as [number, number, number];
  const [batches, steps] = timeMajor ? [second, first] : [first, second];
  const units = site.input(18).shape[1]!;
  const [x, hidden, cell] = [site.input(0), site.input(18), site.input(19)].map(scaleOf) as [
    Scale,
    Scale,
    Scale,
  ];
  const helpers: Helper[] = ['clamped', 'sigmoid'];
  const scaled = (text: string, ratio: number) => {
    const made = scaledText(text, ratio);
    helpers.push(made.helper);
    return made.text;
  };
  const wide = site.input(0).type === 'int16';
  const [type, total] = [cTypeOf(site.input(0)), wide ? 'int64_t' : 'uint32_t'];
  const scaledSum = (sum: string, ratio: number) => {
    if (!wide) return scaled(`(int32_t)${sum}`, ratio);
    const made = wideScaledText(site, sum, ratio);
    helpers.push(made.helper);
    return made.text;
  };
  const narrow = (text: string) => `clamped(${text}, -32768, 32767)`;
  const functions = (Object.keys(gates) as (keyof typeof gates)[]).map((gate) => {
    const [weights, recurrent] = gates[gate].map((place) => site.input(place).quantization?.scale[0] ?? 0);
    const own = narrow(scaledSum('own', Math.fround(x.scale * weights!) * 4096));
    const past = narrow(scaledSum('past', Math.fround(hidden.scale * recurrent!) * 4096));
    const [w, r, bias] = ['weights', 'recurrent', 'bias'].map((name) => site.own(`${gate}_${name}`));
    return `static int32_t ${site.own(gate)}(const ${type} *x, const ${type} *hidden, int unit) {
  ${total} own = (${total})${bias}[unit], past = 0;
  for (int i = 0; i < ${inputs}; i++) own += (${total})(${w}[unit * ${inputs} + i] * ${less('x[i]', x.zeroPoint)});
  for (int i = 0; i < ${units}; i++) past += (${total})(${r}[unit * ${units} + i] * ${less('hidden[i]', hidden.zeroPoint)});
  return 3 * ${narrow(`${own} + ${past}`)};
}`;
  });
  const sum = (gate: keyof typeof gates) => `${site.own(gate)}(now, hidden, unit)`;
  const unit = 2 ** -15;
  const shift = 12 + Math.round(Math.log2(cell.scale));
  const limit = Math.trunc(Math.min(Math.fround(cellClip / cell.scale), 32767));
  const clip = cellClip > 0 ? `${-limit}, ${limit}` : '-32768, 32767';
  const shown = shift >= 0 ? `*cell * ${3 * 2 ** shift}` : `(3 * *cell + ${2 ** (-shift - 1)}) >> ${-shift}`;
  const row = timeMajor ? `time * ${batches} + batch` : `batch * ${steps} + time`;
  const body = `for (int batch = 0; batch < ${batches}; batch++) {
  ${type} *const hidden = variable${site.operator.inputs[18]} + batch * ${units};
  for (int time = 0; time < ${steps}; time++) {
    const ${type} *const now = x + (${row}) * ${inputs};
    ${type} *const out = y + (${row}) * ${units};
    for (int unit = 0; unit < ${units}; unit++) {
      int16_t *const cell = variable${site.operator.inputs[19]} + batch * ${units} + unit;
      const int32_t kept = ${narrow(scaled(`logistic(${sum('forget')}) * *cell`, unit))};
      const int32_t added = ${narrow(scaled(`logistic(${sum('input')}) * hyperbolic(${sum('cell')})`, (unit * unit) / cell.scale))};
      *cell = (int16_t)clamped(${narrow('kept + added')}, ${clip});
      const int32_t shown = logistic(${sum('output')}) * hyperbolic(${shown});
      out[unit] = ${storedText(site.output, scaled('shown', (unit * unit) / hidden.scale))};
    }
    memcpy(hidden, out, ${units} * sizeof *hidden);
  }
}`;
  const constants = (Object.keys(gates) as (keyof typeof gates)[]).flatMap((gate) =>
    ['weights', 'recurrent', 'bias'].map((name, index) => {
      const { data } = site.input(gates[gate][index]!);
      const title = site.own(`${gate}_${name}`);
      if (name !== 'bias') return table('int8_t', title, data as Int8Array);
      return table(
        wide ? 'int64_t' : 'int32_t',
        title,
        Array.from(data as Int32Array | BigInt64Array, Number),
      );
    }),
  );
  return pieceOf(site, {
    constants: [...constants, ...functions],
    body,
    helpers,
    about: `${steps} × ${inputs} → ${steps} × ${units}`,
  });
}
