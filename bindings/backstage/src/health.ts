import type { HttpRouterService } from '@backstage/backend-plugin-api';

import type { Policies } from './policies';
import type { Releases } from './releases';
import type { Notices } from './reports';

/** Below `/api/permission`. */
const HEALTH = '/stagedoor/health';
/** What `stagedoor fleet` asks, in the form of the servers' `/status`. */
const STATUS = '/stagedoor/status';

/**
 * Serves how the policies stand: 200 while those of the directory are in force, 503 while
 * none are, or older ones since those of the directory do not load.
 *
 * Anybody may ask, so that a probe can; of what is wrong the answer tells causes and how often
 * they were met. Whom and what they were about is in the log.
 */
export function serveHealth(
  router: HttpRouterService,
  policies: Policies,
  notices: Notices,
  releases?: Releases,
) {
  router.use((request, response, next) => {
    if (request.method !== 'GET') {
      next();
      return;
    }
    const { ok, revision } = policies.status;
    if (request.path === HEALTH) {
      const status = ok ? 'ok' : revision ? 'outdated' : 'denying';
      const { counts } = notices;
      const told = Object.keys(counts).length > 0 && { notices: counts };
      response.status(ok ? 200 : 503).json({ status, revision, ...told });
    } else if (request.path === STATUS) {
      const origin = releases?.status ?? null;
      const source = { name: 'policies', revision: revision ?? null, origin };
      response.json({ ready: ok, sources: [source] });
    } else {
      next();
    }
  });
  for (const path of [HEALTH, STATUS]) {
    router.addAuthPolicy({ path, allow: 'unauthenticated' });
  }
}
