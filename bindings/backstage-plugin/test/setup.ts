// Backstage's components bring their style sheets along. jsdom shows nothing, and reads neither
// the layers nor the nesting that are in them.
// eslint-disable-next-line @typescript-eslint/unbound-method -- it is bound again below
const append = HTMLHeadElement.prototype.appendChild;
HTMLHeadElement.prototype.appendChild = function appendUnlessStyle<
  T extends Node,
>(node: T): T {
  return node instanceof HTMLStyleElement
    ? node
    : (append.call(this, node) as T);
};
