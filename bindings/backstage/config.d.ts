import { HumanDuration } from '@backstage/types';

export interface Config {
  permission?: {
    /** Decisions by Cedar policies. */
    stagedoor?: {
      /**
       * The directory of the policies, their schema and the permissions of other plugins:
       * `*.cedar`, `*.cedarschema` and `*.permissions.yaml`, below it too. A relative path
       * starts where the backend is started.
       */
      directory?: string;

      /** In its place: a bundle, as `stagedoor backstage bundle` writes it. */
      bundle?: string;

      /**
       * In its place: signed releases, as `stagedoor push` publishes them. What is in force is one whole
       * set that somebody trusted has signed, never an older one; the last good one is on disk.
       */
      release?: {
        /**
         * The set and the channel, such as `payments:production`: releases lie in the table
         * `stagedoor_releases` of the permission plugin's database.
         */
        database?: string;
        /**
         * In its place: the store and the channel, such as `ghcr.io/acme/payments:production`,
         * `https://…` or a directory `./published/payments:production`.
         */
        store?: string;
        /** The file that says whom to trust: keys in YAML, or one public key in PEM. */
        trust: string;
        /** A directory of this backend's own, where the last good releases are kept. */
        state: string;
        /** The one bundle that may be in force, by its digest. */
        pin?: string;
        /** How often is looked, a fifth more or less. By default 30 seconds. */
        interval?: HumanDuration | string;
        /**
         * From when on health says that what is in force is too old: it was not confirmed for so long,
         * or has expired. By default that is only told.
         */
        maxStaleness?: HumanDuration | string;
        /** Time for one answer of the store. By default 60 seconds. */
        storeTimeout?: HumanDuration | string;
        /** A file of authorities of the store's server, in PEM. */
        storeCa?: string;
        /** A file with a bearer token for a web server. */
        storeToken?: string;
        /** A file of names and passwords for registries, in the form of Docker's `config.json`. */
        registryConfig?: string;
      };

      /**
       * Whether changes of the policies are taken up while the backend runs, and how often
       * they are looked for. By default every 5 seconds.
       */
      watch?: boolean | { interval: HumanDuration | string };

      /**
       * How long requests wait for the policies when the backend starts. Then they are
       * denied. By default 5 seconds.
       */
      startupWait?: HumanDuration | string;

      /** How many answers are kept. By default 20,000. */
      cacheSize?: number;

      /**
       * How large the conditions of an answer may be; larger ones are cut, which is logged.
       * Backstage sends them once for each resource of a request (or, with
       * `permission.EXPERIMENTAL_enableBatchedRequests`, for each permission), 100 KiB at most
       * in all.
       */
      budget?: {
        /** For how many items of a request there must be room. By default 50; batched, 16. */
        items?: number;
        /** How many rules. By default 64. */
        leaves?: number;
        /** How deep they may nest. By default 16. */
        depth?: number;
        /** How many bytes of JSON. By default what so many items leave: 1,647; batched, 5,999. */
        bytes?: number;
      };

      /**
       * Where the policies can be read, for links of the page: an address with `{file}`, the path
       * below the directory, and `{line}`.
       */
      policyUrl?: string;

      /** A directory of custom rules (`*.wasm`) that policies name in `@guard`. */
      rules?: string;

      /**
       * What rules may be, what compiling them may take, and where compiled ones are. How much a
       * call may use stands beside each rule, in `NAME.limits.json`.
       */
      ruleHost?: {
        /** The largest file of a rule, in bytes. By default 16 MiB. */
        bytes?: number;
        /** How many modules the component of a rule may have. By default 16. */
        modules?: number;
        /**
         * Processor time to compile one rule, in seconds. By default 2; with more, a rule may have
         * as many times more code as well.
         */
        compileSeconds?: number;
        /** Memory to compile one rule, in MiB. By default 256. */
        compileMemoryMib?: number;
        /** The largest memory that the limits of a rule may allow it, in MiB. By default 32. */
        memoryMib?: number;
        /** How many calls of rules there may be at the same time. By default 16. */
        concurrency?: number;
        /** How long a call waits for its turn at most, in milliseconds. By default 20. */
        waitMs?: number;
        /**
         * A directory of the backend's own user where compiled rules are kept. By default
         * `stagedoor/rules` in the user's cache.
         */
        cache?: string;
        /**
         * A directory of rules that `stagedoor rule precompile` has compiled, which only root and
         * the backend's user may write: its code is run as it stands.
         */
        precompiled?: string;
        /** Compile nothing, and start no process for it: only rules of `precompiled` load. */
        precompiledOnly?: boolean;
      };

      /**
       * Other limits than the default ones on what is loaded, such as `policyBytes: 131072`.
       * What is beyond a limit is refused, with the limit's name.
       */
      limits?: {
        fileBytes?: number;
        policyBytes?: number;
        policies?: number;
        nesting?: number;
        operators?: number;
        schemaParts?: number;
        validationSteps?: number;
        entities?: number;
        ancestors?: number;
        memberships?: number;
        stringBytes?: number;
        problems?: number;
      };

      /**
       * Whether the groups above a user's groups are read from the catalog, so that policies
       * about them hold for the user, and how often. Until they were read everything is
       * denied. With them it is read who owns how much, so that conditions that are too large
       * lose the claims that own nothing. Whenever policies or groups change, the catalog's
       * users are read, too, and those whose conditions are over the budget are logged. By
       * default nothing is read; `true` is every minute.
       */
      catalogGroups?: boolean | { interval: HumanDuration | string };

      /**
       * Whether the permissions of the plugins that are installed are read from them, so that
       * policies about all permissions, or all of a plugin, hold for those that no list has.
       * By default true.
       */
      discoverPlugins?: boolean;

      /** What is told to the auditor. */
      audit?: {
        /**
         * Which decisions. By default `notable`: what is denied, and whatever else is about
         * creating, updating or deleting.
         */
        decisions?: 'all' | 'notable' | 'denied' | 'none';
        /** The share of them that is told, from 0 to 1. By default all. */
        sample?: number;
        /** By default `medium`. */
        severity?: 'low' | 'medium' | 'high' | 'critical';
      };

      /** Policies that are evaluated beside those in force. Nothing is enforced from them. */
      shadow?: {
        /** Their directory. */
        directory?: string;
        /** In its place: a bundle. */
        bundle?: string;
      };

      /**
       * Who asks when nobody is signed in, which Backstage lets through only with
       * `backend.auth.dangerouslyDisableDefaultAuthPolicy`. By default they are denied.
       */
      guest?: {
        /** Such as `user:development/guest`. */
        userEntityRef: string;
        /** References by which the guest owns entities. */
        ownershipEntityRefs?: string[];
      };
    };
  };
}
