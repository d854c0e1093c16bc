import { fillTemplate, templateText } from '../template.js';
import type { DeployTarget, RenderedFile, RenderInput } from '../types.js';
import { nothing } from '../values.js';

/** Configures Argo CD to sync the cluster with a k3s rendering in a repository. */
export const argocdTarget: DeployTarget = {
  name: 'argocd',
  about: 'An Argo CD Application for a k3s rendering in a repository.',
  next: 'kubectl apply -f application.yaml',
  usual: () => nothing,
  render: ({ values }: RenderInput): RenderedFile[] => {
    const { name, namespace, argocd } = values;
    return [
      {
        path: 'application.yaml',
        text: fillTemplate(templateText('argocd/application.yaml'), { name, namespace, argocd }),
        about: 'the Application',
      },
    ];
  },
};
