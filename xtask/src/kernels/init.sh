#!/usr/sbin/busybox sh
# The first process of a machine that tests kproxy on another kernel. Lines that begin with "kproxy-guest" are for
# xtask, which reads the console.
/usr/sbin/busybox --install -s
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ RUST_BACKTRACE=0 KPROXY_TEST_PATIENCE=10
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up
echo "kproxy-guest booted $(uname -r)"
while read -r module; do
    modprobe "$module" || echo "kproxy-guest failed modprobe $module"
done < /etc/modules
while read -r step; do
    echo "kproxy-guest starts $step"
    if sh -c "$step" < /dev/null 2>&1; then
        echo "kproxy-guest passed $step"
    else
        echo "kproxy-guest failed $step"
    fi
done < /etc/steps
poweroff -f
