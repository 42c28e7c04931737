"""Pass rows of tokens through a decoder so that no token is computed twice and no padding at all.

A prompt with its chosen and rejected completion, or with a group of eight, becomes a tree: the prompt passes once and
each completion attends to it and to itself. What comes out is what the plain pass gives, in its shape, and so are the
gradients; a recipe that reads hidden states needs no word of this.

    sharing.share(decoder)      from now on the decoder does so where it is worth it
    tree.Tree.of(rows)          what rows share: pure
    attention                   attention over a tree, by transformers' registry of attentions
    recompute.install(decoder)  norms and gates are made again on the way back, not kept
    table.install(model)        the gradient of a table that embedding and head share is added up in one place
    decoding.decode(decoder …)  completions of prompts: rows that end leave, others come in their place
    reference                   log-probabilities of ref_model, once in the life of a pair
"""
