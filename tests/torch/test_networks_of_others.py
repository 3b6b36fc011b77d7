"""Networks as people have them: HuggingFace's and timm's, small and with weights at random."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'dynsim[torch]'")

from dynsim.torch import convert, correct_norms, finetune, list_layers, materialize  # noqa: E402

pytestmark = pytest.mark.slow
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
TEXTS = {"vocab_size": 60, "max_position_embeddings": 40}
FAMILIES = [
    "resnet18", "efficientnet_b0", "densenet121", "regnetx_002", "mobilenetv3_large_100", "resnetv2_50", "repvgg_a0",
    "vit_tiny_patch16_224", "convnext_atto", "mixer_s32_224",
]  # fmt: skip


def bert(transformers):
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, **TEXTS))


def gpt2(transformers):
    options = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40, "bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=60, use_cache=False, **options))


def vit(transformers):
    return transformers.ViTForImageClassification(transformers.ViTConfig(image_size=32, patch_size=8, **SMALL))


def llama(transformers):
    config = transformers.LlamaConfig(tie_word_embeddings=True, use_cache=False, **SMALL, **TEXTS)
    return transformers.LlamaForCausalLM(config)


def masked(transformers):
    """Its head has the numbers of the table, and its bias is that of another part."""
    return transformers.BertForMaskedLM(transformers.BertConfig(**SMALL, **TEXTS))


@pytest.mark.parametrize("make", [bert, masked, gpt2, vit, llama])
@pytest.mark.usefixtures("torchvision")  # which transformers imports, too, if it is installed
def test_networks_of_huggingface(make):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    torch.manual_seed(0)
    net = make(transformers).eval()
    batch = {"input_ids": torch.randint(60, (4, 10)), "attention_mask": torch.ones(4, 10, dtype=torch.long)}
    batch["attention_mask"][:, 7:] = 0
    if make is vit:
        batch = {"pixel_values": torch.randn(4, 3, 32, 32)}
    made, report = convert(net, copies=2, dim=3, steps=3, data=[transformers.BatchEncoding(batch)])
    assert report.parameters == sum(p.numel() for p in made.parameters())
    assert report.parameters_before == sum(p.numel() for p in net.parameters())
    assert sum(layer.converted for layer in report.layers) >= 10
    assert all(layer.macs is not None for layer in report.layers if layer.converted), str(report)
    with torch.no_grad():
        torch.testing.assert_close(made(**batch).logits, materialize(made)(**batch).logits)
    labels = torch.ones(4, dtype=torch.long) if make in (bert, vit) else batch["input_ids"]
    assert len(finetune(made, net, loader=[{**batch, "labels": labels}], epochs=2)) == 2


@pytest.mark.parametrize("name", FAMILIES)
def test_every_norm_and_layer_of_a_backbone_is_found(name, timm):
    torch.manual_seed(0)
    net = timm.create_model(name, pretrained=False).eval()
    reasons = {entry.reason for entry in list_layers(net)}
    assert reasons <= {"", "a norm, a scale or a bias: it stays ordinary"}
    module = copy.deepcopy(net)
    few = None if name == "resnet18" else [torch.randn(2, *net.default_cfg["input_size"])]  # of all, it would take long
    assert correct_norms(net, module, batches=few) == []
    for one, two in zip(net.state_dict().values(), module.state_dict().values(), strict=True):
        torch.testing.assert_close(
            one, two, rtol=1e-4, atol=1e-5
        )  # nothing was changed, so there is nothing to correct
