import type {
  AuthService,
  DiscoveryService,
} from '@backstage/backend-plugin-api';
import type {
  BackstageAnswer,
  BackstageDecision,
  BackstagePermission,
  BackstageUser,
} from '@stagedoor/node';

import type { WholePolicy } from './wholePolicy';

/** A plugin takes at most 100 KiB in one request. */
const BODY_BYTES = 80_000;
/** So many resources are asked about in one request. */
const RESOURCES = 500;
/** Milliseconds until a plugin that does not answer is given up. */
const TIMEOUT = 30_000;

export type ConditionalDecision = Extract<
  BackstageDecision,
  { result: 'CONDITIONAL' }
>;

export interface AppliedConditionsOptions {
  readonly auth: AuthService;
  readonly discovery: DiscoveryService;
  readonly wholePolicy: WholePolicy;
}

/** Conditions, and the resources that may meet them. */
export interface Question {
  readonly decision: ConditionalDecision;
  readonly resourceRefs: readonly string[];
}

/** The plugin that owns the resources does not say which of them meet conditions. */
export class NotApplied extends Error {
  override name = 'NotApplied';
}

/**
 * Which resources meet conditions, by the word of the plugin that owns them: what it says here is
 * what it says to Backstage's permission backend.
 */
export class AppliedConditions {
  readonly #options: AppliedConditionsOptions;

  constructor(options: AppliedConditionsOptions) {
    this.#options = options;
  }

  /** Returns what Backstage is answered about a resource: what is applied then. */
  enforced(
    permission: BackstagePermission,
    user: BackstageUser,
    answer: BackstageAnswer,
  ): BackstageDecision {
    return this.#options.wholePolicy.enforced(permission, user, answer);
  }

  /** Returns for each question which of its resources meet the conditions. */
  async apply(questions: readonly Question[]): Promise<boolean[][]> {
    const answers: boolean[][] = questions.map(() => []);
    let batch: { index: number; item: object }[] = [];
    let [plugin, bytes, resources] = ['', 0, 0];
    const send = async () => {
      if (!batch.length) return;
      const results = await this.#ask(
        plugin,
        batch.map(({ item }, id) => ({ id: `${id}`, ...item })),
      );
      batch.forEach(({ index }, position) =>
        answers[index]?.push(...(results[position] ?? [])),
      );
      [batch, bytes, resources] = [[], 0, 0];
    };
    for (const [index, { decision, resourceRefs }] of questions.entries()) {
      const { pluginId, resourceType, conditions } = decision;
      for (let start = 0; start < resourceRefs.length; start += RESOURCES) {
        const resourceRef = resourceRefs.slice(start, start + RESOURCES);
        const item = { resourceRef, resourceType, conditions };
        const size = JSON.stringify(item).length;
        const isFull =
          bytes + size > BODY_BYTES ||
          resources + resourceRef.length > RESOURCES;
        if (pluginId !== plugin || isFull) await send();
        plugin = pluginId;
        bytes += size;
        resources += resourceRef.length;
        batch.push({ index, item });
      }
    }
    await send();
    return answers;
  }

  async #ask(plugin: string, items: object[]): Promise<boolean[][]> {
    const { auth, discovery } = this.#options;
    const { token } = await auth.getPluginRequestToken({
      onBehalfOf: await auth.getOwnServiceCredentials(),
      targetPluginId: plugin,
    });
    const base = await discovery.getBaseUrl(plugin);
    const response = await fetch(
      `${base}/.well-known/backstage/permissions/apply-conditions`,
      {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ items }),
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT),
      },
    );
    if (!response.ok) {
      await response.body?.cancel();
      throw new NotApplied(
        `plugin ${plugin} does not say which of its resources meet conditions: it answered ${response.status}`,
      );
    }
    const { items: answered } = (await response.json()) as {
      items?: { id: string; result: unknown }[];
    };
    return items.map((_, id) => {
      const found = answered?.find(each => each.id === `${id}`)?.result;
      // Whatever is not a clear yes is a no.
      return (Array.isArray(found) ? found : []).map(
        result => result === 'ALLOW',
      );
    });
  }
}
