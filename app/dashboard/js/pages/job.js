export async function mount(root, { params }) { root.append(params.id); }
