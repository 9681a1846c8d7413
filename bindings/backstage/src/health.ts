import type { HttpRouterService } from '@backstage/backend-plugin-api';

import type { Policies } from './policies';

/** Below `/api/permission`. */
const PATH = '/stagedoor/health';

/**
 * Serves how the policies stand: 200 while those of the directory are in force, 503 while
 * none are, or older ones since those of the directory do not load.
 *
 * Anybody may ask, so that a probe can; the answer tells nothing about what is wrong, which
 * is in the log.
 */
export function serveHealth(router: HttpRouterService, policies: Policies) {
  router.use((request, response, next) => {
    if (request.method !== 'GET' || request.path !== PATH) {
      next();
      return;
    }
    const { ok, revision } = policies.status;
    const status = ok ? 'ok' : revision ? 'outdated' : 'denying';
    response.status(ok ? 200 : 503).json({ status, revision });
  });
  router.addAuthPolicy({ path: PATH, allow: 'unauthenticated' });
}
