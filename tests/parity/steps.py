"""One step of each training against the reference (golden G6): what two test modules ask about."""

from __future__ import annotations

import torch

from sahmr.body.joints import H36M_TO_14
from sahmr.geometry.nearest import nearest
from sahmr.losses import mesh_losses
from sahmr.network.root_contact import substitute_far_roots
from sahmr.network.size import PAPER
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import ContactPoints, MeshPrediction, RootContact
from tests.parity.golden_file import DEEP_GRADIENT, GoldenFile
from tests.parity.published import QUIET, Bodies, Load, Weights, make_batch, tables, to_camera

GRADIENT = "grad__metro_enhanced."
FIRST_GRADIENT = (
    3e-2  # L2, first convolution: 1.1e-2 between the float32 file and ours, 2.9e-2 between our two precisions
)


def check_maps(data: GoldenFile, made: RootContact) -> None:
    data.check("pred_bi4s_pelvis_hm", made.heatmap[:, None])
    data.check("pred_bi4s_rdepth_hm", made.scaled_depth[:, None])
    data.check("pred_bi4s_seg_hm", made.part_maps)
    data.check("pred_c_pelvis", made.initial_root[:, None])


def check_voxels(data: GoldenFile, made: RootContact, item: int, tail: str) -> torch.Tensor:
    """Compare what the voxels of one batch item say; gives our row for each row of the file."""
    mine = made.voxel_centers.sample == item
    order = data.match(f"c_voxFst_nearby_b{item}", made.voxel_centers.xyz[mine], cell=PAPER.voxel_size)
    order = mine.nonzero()[:, 0][order]
    data.check(f"pred_vox_xyz_conf{tail}_b{item}", made.voxel_confidence[order, None])
    data.check(f"pred_vox_xyz_offset{tail}_b{item}", made.voxel_offset[order])
    data.check(f"pred_vox_seg{tail}_b{item}", made.voxel_part[order])
    return order


@torch.no_grad()
def compare_root_step(load: Load, published: Weights, mode: Rounding) -> None:
    """One forward pass in training, without noise; roots farther than 0.5 m from the truth are replaced by it."""
    data, inputs = load(f"G6_rcnet_losses_{mode}"), load("G6_targets")
    batch, net = make_batch(inputs), published.network(rounding=mode).rcnet
    net.training = True  # of this module alone: normalisation stays on its running statistics
    made = net(batch, targets_root=inputs.given("gt_c_pelvis")[:, 0])
    check_maps(data, made)
    replaced = (made.anchor_root != made.initial_root).any(dim=1)
    data.check_equal("training_noisy_gt_root_mask", replaced)
    data.check("pred_c_pelvis_refined", made.root[:, None])
    for i in range(len(batch.keys)):
        check_voxels(data, made, i, "")
    data.check("pred_bi4s_seg_hm_flip", net.part_maps_of(batch.image.flip(3)))


def compare_mesh_step(load: Load, published: Weights, bodies: Bodies) -> None:
    """One step of stage B, its backbone in float64.

    The file was made in float32 with the backbone's normalisation on *batch* statistics (with running ones vertices
    come out metres away). That amplifies rounding: a float32 run of ours is as far from float64 (9e-5 of the vertices'
    scale, 2.9e-2 of the first convolution's gradient) as the file is.
    """
    data, inputs = load("G6_sahmr_losses"), load("G6_targets")
    net = published.network(tables(load("G5_sahmr"), bodies.regressor))
    true = to_camera(bodies.pose(data), inputs.given("in__T_w2c"))
    true_root = torch.einsum("v,bvc->bc", bodies.regressor[0], true)
    with torch.no_grad():
        net.rcnet.max_contacts = 1 << 20  # all of them: the reference drew its 500 without a seed
        made = net.rcnet(make_batch(inputs))
    root = substitute_far_roots(made.root, true_root, QUIET.substitution_distance, QUIET.mesh_root_noise_std, None)
    data.check("pred_c_pelvis", made.initial_root[:, None])
    data.check("pred_c_pelvis_refined", made.root[:, None])
    data.check("pelvis_used", root[:, None])
    check_drawn_contacts(data, made, root)
    mesh_net = net.metro_enhanced
    backbone = mesh_net.backbone.double().train()
    backbone.register_forward_pre_hook(lambda _module, inputs: inputs[0].double())
    backbone.register_forward_hook(lambda _module, _inputs, output: output.float())
    parameters = dict(mesh_net.named_parameters())
    wanted = {name.removeprefix(GRADIENT): name for name in data.names(f"{GRADIENT}.*")}
    chosen = [parameters[name].requires_grad_() for name in wanted]
    mesh = mesh_net(inputs.given("in__image_u8") / 255, root, drawn_contacts(data, root))
    terms = mesh_losses(mesh, true, bodies.regressor, H36M_TO_14)
    loss = torch.stack(list(terms.values())).sum(dim=0)
    check_mesh(data, mesh, loss)
    for (name, key), gradient in zip(wanted.items(), torch.autograd.grad(loss.mean(), chosen), strict=True):
        gradient = gradient[::16] if name == "upsampling.weight" else gradient
        data.check(key, gradient, FIRST_GRADIENT if name == "backbone.conv1.weight" else DEEP_GRADIENT, "L2")


def check_drawn_contacts(data: GoldenFile, made: RootContact, root: torch.Tensor) -> None:
    """The file's contact points are points and parts of ours; all of ours where there are at most 500."""
    points, part, mask = (data.given(name) for name in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    found, found_part, counts = points.clone(), torch.zeros_like(part), []
    for i, real in enumerate(mask):
        mine = made.contacts.mask[i]
        candidates = made.contacts.xyz_camera[i, mine] - root[i]
        chosen = nearest(points[i, real], candidates)[1]
        found[i, real], found_part[i, real] = candidates[chosen], made.contacts.part[i, mine][chosen]
        found[i, ~real] = -root[i]
        counts.append(min(len(candidates), mask.shape[1]))
        assert len(candidates) > mask.shape[1] or len(chosen.unique()) == len(candidates)
    data.check("pred_crm_pcSeg", found)
    data.check_equal("pcSeg_pids", found_part)
    data.check_equal("pcSeg_mask", torch.arange(mask.shape[1]) < torch.tensor(counts)[:, None])


def drawn_contacts(data: GoldenFile, root: torch.Tensor) -> ContactPoints:
    """The contact points that the reference drew."""
    points, part, mask = (data.given(name) for name in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    return ContactPoints(xyz_camera=points + root[:, None], part=part, mask=mask)


def check_mesh(data: GoldenFile, mesh: MeshPrediction, loss: torch.Tensor) -> None:
    data.check("pred_verts", mesh.vertices_anchor)
    data.check("pred_crm_pcSeg_after", mesh.contacts_anchor)
    data.check("loss", loss)
