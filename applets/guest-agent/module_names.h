/* module_names.h: the kernel modules that the guest agent loads, in the order in which they are
 * tried: what others need first, and a hypervisor's own vsock before virtio's, which takes the
 * one place there is even in a machine without its device.
 *
 * X(set, name, evidence): the sets are in modules.h. `evidence` is a path that exists when the
 * kernel has the module built in, for those that /sys/module does not show then.
 * scripts/mkinitramfs reads the names from this file: one a line. */
#ifndef GUEST_AGENT_MODULE_NAMES_H
#define GUEST_AGENT_MODULE_NAMES_H

#define MODULE_NAMES(X)                                                                            \
    X(MODULES_VSOCK, virtio_ring, "/sys/bus/virtio")                                               \
    X(MODULES_VSOCK, virtio, "/sys/bus/virtio")                                                    \
    X(MODULES_OTHER, virtio_pci_modern_dev, NULL)                                                  \
    X(MODULES_OTHER, virtio_pci_legacy_dev, NULL)                                                  \
    X(MODULES_VSOCK, virtio_pci, "/sys/bus/pci/drivers/virtio-pci")                                \
    X(MODULES_OTHER, virtio_mmio, NULL)                                                            \
    X(MODULES_VSOCK, vsock, NULL)                                                                  \
    X(MODULES_VSOCK, vmw_vsock_virtio_transport_common,                                            \
      "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport")                                        \
    X(MODULES_OTHER, hv_vmbus, NULL)                                                               \
    X(MODULES_OTHER, hv_sock, NULL)                                                                \
    X(MODULES_OTHER, vmw_vmci, NULL)                                                               \
    X(MODULES_OTHER, vmw_vsock_vmci_transport, NULL)                                               \
    X(MODULES_VSOCK, vmw_vsock_virtio_transport,                                                   \
      "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport")                                        \
    X(MODULES_LOCAL, vsock_loopback, NULL)                                                         \
    X(MODULES_NET, failover, NULL)                                                                 \
    X(MODULES_NET, net_failover, NULL)                                                             \
    X(MODULES_NET, virtio_net, "/sys/bus/virtio/drivers/virtio_net")

#endif
