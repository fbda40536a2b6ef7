#!/bin/busybox sh
# The first process of a virtual machine: makes a root of the host's files, where writing changes only this machine's
# memory, mounts what a system has, runs /job, and says on the third serial port what its exit status was.
export PATH=/bin:/sbin
/bin/busybox --install -s /bin
. /settings

give_up() {
    echo "virtual machine: $*" >/dev/ttyS1
    poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in $early_modules; do
    modprobe -q "$module"
done

mount -t virtiofs -o ro host /host || give_up "the host's files cannot be mounted"
mount -t tmpfs -o size=80% tmpfs /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work overlay /root ||
    give_up "no writable root can be made of the host's files"

# Modules for the kernel's own calls of modprobe, which see this root, and for the job, which sees the other.
release=$(uname -r)
mount --bind "/host$kernel_folder/lib/modules" /lib/modules
mkdir -p /root/usr/lib/modules /root/boot
mount --bind "/host$kernel_folder/lib/modules" /root/usr/lib/modules
mount --bind "/host$kernel_folder/boot" /root/boot
[ -e /root/usr/sbin/modprobe ] || ln -s /usr/bin/busybox /root/usr/sbin/modprobe

for folder in proc sys dev; do
    mount --move /$folder /root/$folder
done
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t tmpfs tmpfs /root/run
mkdir -m 1777 /root/run/tmp
mount -t bpf bpf /root/sys/fs/bpf
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mount -t tracefs tracefs /root/sys/kernel/tracing
mount -t debugfs debugfs /root/sys/kernel/debug
mount -t securityfs securityfs /root/sys/kernel/security
ip link set lo up
hostname vm

cp /job /root/run/job
# Moved to where the first root was: in a mere chroot nobody may make user namespaces.
cd /root
mount --move . /
stty -F dev/ttyS0 raw -echo
set -o pipefail
chroot . /bin/sh /run/job <dev/null 2>&1 | cat >dev/ttyS0
echo "exit status $?" >dev/ttyS2
stty -F dev/ttyS0 drain 2>dev/null
poweroff -f
