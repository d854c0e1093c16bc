/** Training parameters that can be selected; all others are the project's. */
export interface Recipe {
  name: string;
  /** Units of the hidden layers of one member. */
  layers: number[];
  /** Samples between the starts of two training windows. */
  stride: number;
  epochs: number;
  /** Standard deviation of Gaussian noise on the standardized inputs. */
  noise: number;
}

/**
 * Number of models trained from different initializations, whose logits are averaged. It is not selected, because more models can only
 * stabilize the prediction.
 */
export const members = 4;

/**
 * The recipes from which the inner folds select. The first is the template's earlier recipe. The others vary the parameters that
 * are likely to matter with so few recordings.
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
