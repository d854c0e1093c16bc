/** What one may choose about a training; everything else is the project's. */
export interface Recipe {
  /** For people. */
  name: string;
  /** Units of the hidden layers of one member. */
  layers: number[];
  /** Samples between the starts of two training windows. */
  stride: number;
  epochs: number;
  /** Deviation of Gaussian noise on the standardized inputs. */
  noise: number;
}

/** Networks trained from different beginnings, whose logits are averaged: settled beforehand, as it can only steady the answer. */
export const members = 4;

/**
 * All that the inner folds choose from. The first is the template's recipe of before; the others change what is likely to
 * matter with so few recordings: how dense the windows lie, how gently and how long it is trained, how wide it is.
 */
export const recipes: Recipe[] = [
  { name: 'sparse', layers: [32, 16], stride: 125, epochs: 50, noise: 0.5 },
  { name: 'sparse, less noise', layers: [32, 16], stride: 125, epochs: 50, noise: 0.2 },
  { name: 'dense, short', layers: [32, 16], stride: 25, epochs: 10, noise: 0.5 },
  { name: 'dense', layers: [32, 16], stride: 25, epochs: 20, noise: 0.5 },
  { name: 'dense, less noise', layers: [32, 16], stride: 25, epochs: 20, noise: 0.3 },
  { name: 'dense, little noise', layers: [32, 16], stride: 25, epochs: 20, noise: 0.1 },
  { name: 'dense, wide', layers: [64, 32], stride: 25, epochs: 20, noise: 0.3 },
];
